internal import Logging
internal import Synchronization

/// The threads of a running worker. Used by the thread that started them.
final class WorkerThreads {
  private var committer: WorkerThreadBox?
  private var lanes: [WorkerThreadBox] = []
  private var watchdog: Watchdog?
  private var watchdogThread: WorkerThreadBox?

  func startCommitter(_ body: @escaping @Sendable () -> Void) throws(WorkerError) {
    committer = WorkerThreadBox(try WorkerThread(name: "nub-commit", body))
  }

  func startLane(_ index: Int, _ body: @escaping @Sendable () -> Void) throws(WorkerError) {
    lanes.append(WorkerThreadBox(try WorkerThread(name: "nub-lane-\(index)", body)))
  }

  func startWatchdog(
    _ pulses: Pulses, health: Health, patience: UInt64, longestJob: UInt64?, logger: Logger,
    onTick: (@Sendable (Health.Report) -> Void)?
  ) throws(WorkerError) {
    let watchdog = Watchdog()
    let thread = try WorkerThread(name: "nub-watchdog") {
      watchdog.run(
        pulses, health: health, patience: patience, longestJob: longestJob, logger: logger, onTick: onTick)
    }
    self.watchdog = watchdog
    watchdogThread = WorkerThreadBox(thread)
  }

  func endWatchdog() {
    watchdog?.end()
    watchdogThread?.join()
    watchdog = nil
    watchdogThread = nil
  }

  func joinLanes() {
    for lane in lanes { lane.join() }
    lanes = []
  }

  func joinCommitter() {
    committer?.join()
    committer = nil
  }
}

/// Holds a thread where what is noncopyable cannot be.
final class WorkerThreadBox: Sendable {
  private let thread: Mutex<WorkerThread?>

  init(_ thread: consuming sending WorkerThread) {
    self.thread = Mutex(consume thread)
  }

  func join() {
    thread.withLock { $0.take() }?.join()
  }
}
