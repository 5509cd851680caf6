internal import Glibc
public import ServiceLifecycle
internal import Synchronization
internal import UnixSignals

/// SIGTERM and SIGINT: the first one drains, the second one ends at once. SIGHUP: the keys are read again.
///
/// Trapped from ``init(within:drain:stop:reload:)`` on, so that none is missed while everything else starts.
public final class ProcessSignals: Service {
  /// For how long an end at once may take, and a drain beyond its time, before the process is ended from here: something holds on
  /// that cannot be told to let go, such as another process's lock on the store.
  static let patience = (stop: Duration.seconds(5), drain: Duration.seconds(15))

  private let time: Duration

  private let signals: UnixSignalsSequence
  private let drain: @Sendable () -> Void
  private let stop: @Sendable () -> Void
  private let reload: @Sendable () -> Void
  private let count = Atomic<Int>(0)

  /// - Parameter time: for a drain.
  public init(
    within time: Duration, drain: @escaping @Sendable () -> Void, stop: @escaping @Sendable () -> Void,
    reload: @escaping @Sendable () -> Void
  ) async {
    self.time = time
    self.drain = drain
    self.stop = stop
    self.reload = reload
    // A file size limit is a full disk, and a closed pipe an error code: the calls say so, and are understood.
    signal(SIGXFSZ, SIG_IGN)
    signal(SIGPIPE, SIG_IGN)
    signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
  }

  /// Whether more than a drain was asked for.
  public var wasForced: Bool { count.load(ordering: .acquiring) > 1 }

  public func run() async throws {
    for await signal in signals.cancelOnGracefulShutdown() {
      guard signal != .sighup else {
        reload()
        continue
      }
      if count.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == 1 {
        drain()
        endAnyway(after: time + Self.patience.drain)
      } else {
        stop()
        endAnyway(after: Self.patience.stop)
      }
    }
  }

  private func endAnyway(after time: Duration) {
    Task.detached {
      try await Task.sleep(for: time)
      _exit(EndStatus.forced.rawValue)
    }
  }
}
