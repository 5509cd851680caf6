internal import Synchronization

/// What the lanes run at this moment, for those who want to stop it.
final class LaneControl: Sendable {
  private struct Running {
    var jobs: [Job] = []
    var interrupt: (@Sendable () -> Void)?
  }

  private let lanes: Mutex<[Running]>

  init(lanes: Int) {
    self.lanes = Mutex(Array(repeating: Running(), count: lanes))
  }

  /// A lane is about to enter its sandbox.
  func began(_ jobs: [Job], lane: Int, interrupt: @escaping @Sendable () -> Void) {
    lanes.withLock { $0[lane] = Running(jobs: jobs, interrupt: interrupt) }
  }

  /// A lane has left its sandbox.
  func ended(lane: Int) {
    lanes.withLock { $0[lane] = Running() }
  }

  /// Interrupts the sandbox that has this job. The call that runs there at this moment is killed; if that was another job's, the lane
  /// sees that nobody wanted it killed and gives it back to be run again.
  func interrupt(_ job: Job) {
    lanes.withLock { lanes in
      for lane in lanes where lane.jobs.contains(where: { $0 === job }) { lane.interrupt?() }
    }
  }

  func interruptAll() {
    lanes.withLock { lanes in
      for lane in lanes { lane.interrupt?() }
    }
  }
}
