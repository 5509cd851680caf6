/// Decides when the door thread, with nothing to do, looks again instead of sleeping: while one job is all that the worker has, and its
/// answer is due within less than what it costs to sleep and be woken a few times over. Where answers take longer than that, it soon
/// stops trying (docs/decisions/0405).
struct AnswerPolling {
  /// The longest time to look out for an answer, in microseconds; 0: never.
  let limitMicroseconds: UInt64

  private enum State {
    case resting
    case looking(since: Monotonic)
    /// It took too long; not again for this job.
    case gaveUp
  }

  private var state = State.resting
  /// How many jobs are left alone before the next try, and how many it was last time.
  private var jobsToSkip = 0
  private var lastSkip = 0

  private static let maximumSkip = 256

  init(limitMicroseconds: UInt64) {
    self.limitMicroseconds = limitMicroseconds
  }

  /// Whether to look again at once.
  ///
  /// - Parameter jobs: how many jobs the worker has.
  mutating func looksAgain(at now: Monotonic, jobs: Int) -> Bool {
    guard jobs == 1, limitMicroseconds > 0 else {
      state = .resting
      return false
    }
    switch state {
    case .gaveUp:
      return false
    case .resting:
      if jobsToSkip > 0 {
        jobsToSkip -= 1
        state = .gaveUp
        return false
      }
      state = .looking(since: now)
      return true
    case .looking(let since):
      if now.microseconds(since: since) < limitMicroseconds { return true }
      lastSkip = min(max(1, lastSkip * 2), Self.maximumSkip)
      jobsToSkip = lastSkip
      state = .gaveUp
      return false
    }
  }

  /// A job has been answered.
  mutating func answered() {
    if case .looking = state { lastSkip = 0 }
    state = .resting
  }
}
