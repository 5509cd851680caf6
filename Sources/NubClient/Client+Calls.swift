/// One call of ``Client/callMany(_:atOnce:timeout:)``.
public struct CallRequest: Sendable {
  /// The function's id.
  public var function: UInt32
  public var payload: [UInt8]
  /// Name it yourself to be able to repeat the call after this process is gone.
  public var id: JobID
  /// Caps to send along, in wire form (``Client/dataCap(_:)``); at most 256.
  public var caps: [[UInt8]]
  public var options: CallOptions

  public init(
    function: UInt32, payload: [UInt8] = [], id: JobID = JobID(), caps: [[UInt8]] = [],
    options: CallOptions = CallOptions()
  ) {
    self.function = function
    self.payload = payload
    self.id = id
    self.caps = caps
    self.options = options
  }
}

/// What a call returned.
public struct CallResult: Sendable {
  public let id: JobID
  /// The function's result.
  public let body: [UInt8]
  private let metaJSON: [UInt8]

  /// How it came about. Parsed at each use.
  public var meta: ReplyMeta { ReplyMeta(json: metaJSON) }
  /// Whether it was answered from the store, and nothing ran.
  public var isDuplicate: Bool { meta.duplicate ?? false }

  init(_ reply: Reply) throws(ClientError) {
    guard reply.status == .ok else { throw ClientError(reply) }
    id = JobID(unchecked: reply.id)
    body = reply.body
    metaJSON = reply.metaJSON
  }
}

extension Client {
  /// Runs a function and returns its result; a status other than 0 is thrown.
  /// - Parameters:
  ///   - function: its id; ``WorkerInfo/function(named:)`` finds one by name.
  ///   - caps: caps to send along, in wire form (``dataCap(_:)``); at most 256.
  ///   - timeout: how long to wait for the reply, which is not how long the function may run (``CallOptions/deadline``).
  public func call(
    function: UInt32, payload: [UInt8] = [], id: JobID = JobID(), caps: [[UInt8]] = [],
    options: CallOptions = CallOptions(), timeout: Duration? = nil
  ) async throws(ClientError) -> CallResult {
    let request = CallRequest(function: function, payload: payload, id: id, caps: caps, options: options)
    return try await call(request, timeout: timeout)
  }

  public func call(_ request: CallRequest, timeout: Duration? = nil) async throws(ClientError) -> CallResult {
    let operand = (0..<4).map { UInt8(truncatingIfNeeded: request.function >> (8 * UInt32($0))) }
    let frames = Frames.job(
      .call, request.id, operand: operand, body: request.payload,
      options: request.options.json(defaultTenant: tenant), caps: request.caps)
    return try CallResult(try await exchange(frames, timeout: timeout))
  }

  /// Runs many calls, a window of them at a time; outcomes in the order of the requests.
  /// - Parameter atOnce: how many are under way at once.
  public func callMany(
    _ requests: [CallRequest], atOnce: Int = 512, timeout: Duration? = nil
  ) async -> [Result<CallResult, ClientError>] {
    await concurrently(requests, atOnce: atOnce) { request in
      do throws(ClientError) {
        return .success(try await self.call(request, timeout: timeout))
      } catch {
        return .failure(error)
      }
    }
  }

  /// The recorded result of a call, by its id; throws what the call threw.
  public func result(of id: JobID, timeout: Duration? = nil) async throws(ClientError) -> CallResult {
    try CallResult(try await ask(.getResult, body: id.bytes, timeout: timeout))
  }

  /// Cancels a call that waits or runs; its own reply then has ``JobStatus/cancelled``.
  public func cancel(_ id: JobID, timeout: Duration? = nil) async throws(ClientError) {
    _ = try await ask(.cancel, body: id.bytes, timeout: timeout)
  }

  /// Maps with at most `atOnce` calls of `body` under way, keeping the order.
  func concurrently<Input: Sendable, Output: Sendable>(
    _ inputs: [Input], atOnce: Int, _ body: @escaping @Sendable (Input) async -> Output
  ) async -> [Output] {
    await withTaskGroup(of: (Int, Output).self) { group in
      var outputs = [Output?](repeating: nil, count: inputs.count)
      for (index, input) in inputs.enumerated() {
        if index >= max(1, atOnce), let (done, output) = await group.next() { outputs[done] = output }
        group.addTask { (index, await body(input)) }
      }
      for await (done, output) in group { outputs[done] = output }
      return outputs.compactMap { $0 }
    }
  }
}
