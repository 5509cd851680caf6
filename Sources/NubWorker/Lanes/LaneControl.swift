internal import Synchronization

/// What the lanes run at this moment, for those who want to stop it.
final class LaneControl: Sendable {
  private struct Running {
    var jobs: [Job] = []
    var sandbox: UInt64 = 0
    var began = Monotonic(nanoseconds: 0)
    var interrupt: (@Sendable () -> Void)?
    var dump: GuestDump?
  }

  private struct State {
    var lanes: [Running]
    var isStopping = false
  }

  private let state: Mutex<State>

  init(lanes: Int) {
    state = Mutex(State(lanes: Array(repeating: Running(), count: lanes)))
  }

  /// A lane is about to enter its sandbox.
  ///
  /// - Returns: false if it must not: the worker stops.
  func began(
    _ jobs: [Job], lane: Int, sandbox: UInt64 = 0, interrupt: @escaping @Sendable () -> Void,
    dump: GuestDump? = nil
  ) -> Bool {
    state.withLock { state in
      if state.isStopping { return false }
      state.lanes[lane] = Running(
        jobs: jobs, sandbox: sandbox, began: jobs.first?.started ?? .now, interrupt: interrupt, dump: dump)
      return true
    }
  }

  /// A lane has left its sandbox.
  func ended(lane: Int) {
    state.withLock { $0.lanes[lane] = Running() }
  }

  /// Interrupts the sandbox that has this job. The call that runs there at this moment is killed; if that was another job's, the lane
  /// sees that nobody wanted it killed and gives it back to be run again.
  func interrupt(_ job: Job) {
    state.withLock { state in
      for lane in state.lanes where lane.jobs.contains(where: { $0 === job }) { lane.interrupt?() }
    }
  }

  /// Interrupts what runs, and lets nothing begin any more.
  ///
  /// - Returns: whether something was running. An interrupt that comes just before its sandbox is entered may be without effect:
  ///   ask again.
  @discardableResult
  func stop() -> Bool {
    state.withLock { state in
      state.isStopping = true
      var isRunning = false
      for lane in state.lanes {
        guard let interrupt = lane.interrupt else { continue }
        isRunning = true
        interrupt()
      }
      return isRunning
    }
  }

  /// What lanes have been running for longer than `time`.
  func jobs(runningFor time: Milliseconds, at now: Monotonic) -> [Job] {
    state.withLock { state in
      state.lanes.flatMap { lane in lane.interrupt != nil && lane.began + time < now ? lane.jobs : [] }
    }
  }

  /// The sandboxes that are running something, and how to have them written down.
  var dumps: [(sandbox: UInt64, dump: GuestDump)] {
    state.withLock { $0.lanes.compactMap { lane in lane.dump.map { (lane.sandbox, $0) } } }
  }

  /// Lanes that run something, and those that do not.
  var occupancy: (busy: Int, idle: Int) {
    state.withLock { state in
      let busy = state.lanes.count { $0.interrupt != nil }
      return (busy, state.lanes.count - busy)
    }
  }

  /// What each lane runs now.
  func snapshot(_ functions: [UInt32: String]) -> [WorkerSnapshot.Lane] {
    // Copied under the lock, looked at outside: what is read of a job is fixed when it is made.
    let lanes = state.withLock { state in
      state.lanes.map { ($0.jobs.count, $0.jobs.first, $0.sandbox, $0.began) }
    }
    let now = Monotonic.now
    return lanes.map { count, first, sandbox, began in
      guard let first else { return WorkerSnapshot.Lane() }
      var lane = WorkerSnapshot.Lane(jobs: count, sandbox: sandbox)
      lane.jobID = [UInt8](first.id)
      lane.tenant = String(decoding: first.tenantName.array, as: UTF8.self)
      if case .call(let function) = first.work { lane.function = functions[function] ?? "\(function)" }
      lane.microseconds = now.microseconds(since: began)
      return lane
    }
  }
}
