internal import NubZMQ

/// A producer: uploads caps, runs calls, fetches results, over one DEALER socket.
///
/// Use it from any task or thread; requests run at once and their replies are told apart by id. A dedicated thread
/// owns the socket. Unanswered messages are sent again with the same id until the timeout, so a call takes effect
/// once per worker's store. Cancelling the task that waits gives up waiting, not the job: see ``cancel(_:timeout:)``.
public final class Client: Sendable {
  /// Where clients and workers meet unless told otherwise.
  public static let defaultEndpoint = "tcp://127.0.0.1:7700"

  /// CURVE keys, in Z85 (40 characters each).
  public struct Curve: Sendable {
    public var serverKey: String
    public var publicKey: String
    public var secretKey: String

    public init(serverKey: String, publicKey: String, secretKey: String) {
      self.serverKey = serverKey
      self.publicKey = publicKey
      self.secretKey = secretKey
    }
  }

  /// How long a request waits for its reply, unless it says otherwise.
  public let timeout: Duration
  let tenant: String?
  private let mailbox: Mailbox

  /// - Parameters:
  ///   - endpoint: the worker's direct door, or a broker or proxy before it. Need not be reachable yet.
  ///   - curve: keys, when the endpoint is protected by CURVE.
  ///   - tenant: for requests that name none.
  ///   - timeout: how long a request waits for its reply.
  ///   - retry: when unanswered messages are sent again.
  public init(
    endpoint: String = Client.defaultEndpoint, curve: Curve? = nil, tenant: String? = nil,
    timeout: Duration = .seconds(60), retry: RetryPolicy = RetryPolicy()
  ) throws(ClientError) {
    self.timeout = timeout
    self.tenant = tenant
    mailbox = try Mailbox()
    let socket: Socket
    do {
      socket = try Self.connect(endpoint, curve)
    } catch {
      throw ClientError(.transport, "cannot use endpoint \(endpoint): \(error)", cause: error)
    }
    try IOLoop.start(socket: socket, mailbox: mailbox, retry: retry)
  }

  deinit {
    mailbox.close()
  }

  /// Ends the connection. Requests under way fail with ``ClientError/Code/closed``, and so do later ones.
  public func close() {
    mailbox.close()
  }

  private static func connect(_ endpoint: String, _ curve: Curve?) throws(ZMQError) -> Socket {
    var socket = try Socket(Context(), .dealer)
    // libzmq's defaults queue for peers that are gone and wait for ever at exit; unanswered messages are sent again.
    try socket.set(.linger, 0)
    try socket.set(.immediate, 1)
    try socket.set(.receiveHighWaterMark, 0)
    try socket.set(.heartbeatInterval, 2500)
    try socket.set(.heartbeatTimeout, 7500)
    try socket.set(.reconnectInterval, 20)
    try socket.set(.reconnectIntervalMax, 2000)
    if let curve {
      try socket.set(.curveServerKey, curve.serverKey)
      try socket.set(.curvePublicKey, curve.publicKey)
      try socket.set(.curveSecretKey, curve.secretKey)
    }
    try socket.connect(endpoint)
    return socket
  }

  // MARK: The way of a request

  /// Sends a message and waits for its reply, whatever its status.
  func exchange(_ frames: [[UInt8]], timeout: Duration?) async throws(ClientError) -> Reply {
    let token = mailbox.newToken()
    let timeout = timeout ?? self.timeout
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        mailbox.submit(token, frames, timeout: timeout, continuation)
        // The handler below may have run before there was anything to abandon.
        if Task.isCancelled { mailbox.abandon(token) }
      }
    } onCancel: {
      mailbox.abandon(token)
    }
    return try outcome.get()
  }

  /// The same for verbs that only matter when they succeed.
  func ask(
    _ verb: Frames.Verb, operand: [UInt8] = [], body: [UInt8] = [], timeout: Duration?
  ) async throws(ClientError) -> Reply {
    let options = CallOptions().json(defaultTenant: tenant)
    let frames = Frames.job(verb, JobID(), operand: operand, body: body, options: options)
    let reply = try await exchange(frames, timeout: timeout)
    guard reply.status == .ok else { throw ClientError(reply) }
    return reply
  }

  /// Asks the worker who it is and what it can do.
  public func ping(timeout: Duration? = nil) async throws(ClientError) -> WorkerInfo {
    let reply = try await ask(.ping, timeout: timeout)
    guard let info = WorkerInfo(json: reply.body) else {
      throw ClientError(.malformedReply, "the answer to a ping is not the JSON object it should be")
    }
    return info
  }
}
