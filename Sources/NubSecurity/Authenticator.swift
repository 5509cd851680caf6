internal import Glibc
public import Logging
public import NubZMQ
internal import Synchronization

/// The ZAP handler of a context (RFC 27): a thread that libzmq asks about every connection to a CURVE socket, and that looks
/// for changes of the authorized keys once a second.
///
/// It admits keys that ``AuthorizedKeys`` has, by CURVE; every other mechanism and key is refused. The connection's `User-Id`
/// is the peer's public key in print. Start it before the sockets that it guards, and keep it as long.
public final class Authenticator: Sendable {
  /// Where libzmq looks for the handler (RFC 27).
  static let endpoint = "inproc://zeromq.zap.01"
  /// Milliseconds between looks at the directory.
  static let reloadMilliseconds = 1_000

  public let keys: AuthorizedKeys
  private let stop: Waker
  private let thread: Mutex<pthread_t?>
  /// How many it has answered. Whoever shows it may keep it longer than the handler.
  public let tally = HandshakeTally()

  /// - Throws: ``SecurityError`` with code `resources`, for example when the context has a handler already.
  public init(context: Context, keys: AuthorizedKeys, logger: Logger) throws(SecurityError) {
    self.keys = keys
    thread = Mutex(nil)
    let socket: Socket
    do throws(ZMQError) {
      stop = try Waker()
      socket = try Self.open(context)
    } catch {
      throw SecurityError(.resources, "cannot answer libzmq's questions about peers (ZAP)", cause: error)
    }
    try start(Handler(socket: socket, keys: keys, stop: stop, tally: tally, logger: logger))
  }

  deinit {
    stop.wake()
    if let thread = thread.withLock({ $0 }) { pthread_join(thread, nil) }
  }

  private static func open(_ context: Context) throws(ZMQError) -> Socket {
    // ROUTER, not REP: a reply that cannot be sent must not lock the handler out of the next question.
    var socket = try Socket(context, .router)
    try socket.set(.linger, 0)
    try socket.bind(endpoint)
    return socket
  }

  private func start(_ handler: Handler) throws(SecurityError) {
    let argument = Unmanaged.passRetained(handler)
    var created = pthread_t()
    let result = pthread_create(
      &created, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Handler>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw SecurityError(.resources, "cannot start the ZAP thread: \(String(cString: strerror(result)))")
    }
    let started = created
    thread.withLock { $0 = started }
  }
}

/// The thread's own: made by the starter, used by the thread alone afterwards.
private final class Handler {
  private var socket: Socket
  private let keys: AuthorizedKeys
  private let stop: Waker
  private let logger: Logger
  private let tally: HandshakeTally
  private var limiter = HandshakeLimiter(milliseconds: Handler.now)
  private var nextReload = Handler.now

  init(
    socket: consuming Socket, keys: AuthorizedKeys, stop: Waker, tally: HandshakeTally, logger: Logger
  ) {
    self.socket = socket
    self.keys = keys
    self.stop = stop
    self.tally = tally
    self.logger = logger
  }

  func run() {
    var poll = PollSet()
    poll.add(socket, for: .readable)
    let stopItem = poll.add(fileDescriptor: stop.fileDescriptor, for: .readable)
    do throws(ZMQError) {
      while true {
        let now = Self.now
        _ = try poll.wait(milliseconds: Int(clamping: nextReload > now ? nextReload - now : 0))
        if poll.readiness(stopItem).contains(.readable) { return }
        if Self.now >= nextReload {
          keys.reloadIfChanged()
          nextReload = Self.now + UInt64(Authenticator.reloadMilliseconds)
        }
        while let frames = try socket.receiveFrames(wait: false) { try handle(frames) }
      }
    } catch {
      // Sockets with zapEnforceDomain admit nobody from here on: closed, not open.
      if error.code != .terminated {
        logger.critical("the ZAP handler ended", metadata: ["error": "\(error)"])
      }
    }
  }

  private func handle(_ frames: [[UInt8]]) throws(ZMQError) {
    // A ROUTER puts the asker's routing id in front, libzmq an empty delimiter behind it.
    guard let delimiter = frames.firstIndex(of: []),
      let request = ZAPRequest(Array(frames[(delimiter + 1)...]))
    else { return }
    let reply = answer(request)
    do throws(ZMQError) {
      _ = try socket.send(frames: Array(frames[...delimiter]) + reply.frames(for: request), wait: false)
    } catch  where error.code == .hostUnreachable {
      // The connection has gone since it asked.
    }
  }

  private func answer(_ request: ZAPRequest) -> ZAPReply {
    let now = Self.now
    guard limiter.admits(request.address, milliseconds: now) else {
      tally.add(\.limited)
      return ZAPReply(status: .tryAgain, text: "try again later")
    }
    if let key = request.curveKey, let principal = keys.principal(forKey: key),
      principal.tenant == nil || request.domain != CurveServer.allTenantsDomain
    {
      tally.add(\.admitted)
      logger.debug("admitted", metadata: ["peer": "\(principal.name)", "address": "\(request.address)"])
      return ZAPReply(status: .admitted, text: "OK", userID: key)
    }
    tally.add(\.refused)
    limiter.noteRefusal(request.address, milliseconds: now)
    logger.info(
      "refused a connection",
      metadata: [
        "address": "\(request.address)", "mechanism": "\(request.mechanism.prefix(20))",
        "key": "\(request.curveKey ?? "none")",
      ])
    return ZAPReply(status: .refused, text: "not admitted")
  }

  private static var now: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
  }
}
