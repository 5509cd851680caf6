internal import Synchronization

/// What the lanes run at this moment, for those who want to stop it.
final class LaneControl: Sendable {
  private struct Running {
    var jobs: [Job] = []
    var interrupt: (@Sendable () -> Void)?
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
  func began(_ jobs: [Job], lane: Int, interrupt: @escaping @Sendable () -> Void) -> Bool {
    state.withLock { state in
      if state.isStopping { return false }
      state.lanes[lane] = Running(jobs: jobs, interrupt: interrupt)
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
}
