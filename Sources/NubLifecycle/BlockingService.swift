internal import Foundation
public import NubWorker
public import ServiceLifecycle

/// A service whose call blocks for as long as it lives, such as `Worker.run()`: it gets a thread of its own, and never one of the few
/// that Swift's tasks share.
public struct BlockingService: Service {
  private let name: String
  private let prelude: @Sendable () async throws -> Void
  private let body: @Sendable () throws -> Void
  private let drain: @Sendable () -> Void
  private let stop: @Sendable () -> Void

  /// - Parameters:
  ///   - name: the thread's; the kernel keeps 15 bytes.
  ///   - prelude: what must be there before, for example the server that tells how the start goes.
  ///   - drain: makes `body` return when what it has is done; called for a graceful shutdown, from any thread, also before `body`.
  ///   - stop: makes it return at once, likewise; called when the task is cancelled.
  public init(
    name: String, after prelude: @escaping @Sendable () async throws -> Void = {},
    drain: @escaping @Sendable () -> Void, stop: @escaping @Sendable () -> Void,
    body: @escaping @Sendable () throws -> Void
  ) {
    self.name = name
    self.prelude = prelude
    self.body = body
    self.drain = drain
    self.stop = stop
  }

  public func run() async throws {
    try await withTaskCancellationHandler {
      try await withGracefulShutdownHandler {
        try await prelude()
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
          let thread = Thread { [body] in continuation.resume(with: Result { try body() }) }
          thread.name = name
          // As a program's first thread has.
          thread.stackSize = 8 << 20
          thread.start()
        }
      } onGracefulShutdown: {
        drain()
      }
    } onCancel: {
      stop()
    }
  }
}

extension BlockingService {
  /// A worker: a graceful shutdown drains it, a cancellation ends it at once.
  public init(
    _ worker: Worker, after prelude: @escaping @Sendable () async throws -> Void = {},
    onReady: @escaping @Sendable ([String]) -> Void = { _ in }
  ) {
    self.init(
      name: "nub-doors", after: prelude, drain: { worker.shutdown() }, stop: { worker.stop() },
      body: { try worker.run(onReady: onReady) })
  }
}
