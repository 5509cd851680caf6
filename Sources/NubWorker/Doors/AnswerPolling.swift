/// Decides when the door thread, with nothing to do, looks again instead of sleeping: while one job is all that the worker has, and its
/// answer is due within less than what it costs to sleep and be woken a few times over. Where answers take longer than that, it soon
/// stops trying (docs/decisions/0405).
struct AnswerPolling {
  /// The longest time to look out for an answer, in microseconds; 0: never.
  let limitMicroseconds: UInt64

  private enum State {
    case resting
    case looking(since: Monotonic)
    /// Not for this job: it took too long, or those before it did.
    case sleeping(since: Monotonic)
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
    case .sleeping:
      return false
    case .resting:
      if jobsToSkip > 0 {
        jobsToSkip -= 1
        state = .sleeping(since: now)
        return false
      }
      state = .looking(since: now)
      return true
    case .looking(let since):
      if now.microseconds(since: since) < limitMicroseconds { return true }
      lastSkip = min(max(1, lastSkip * 2), Self.maximumSkip)
      jobsToSkip = lastSkip
      state = .sleeping(since: since)
      return false
    }
  }

  /// A job has been answered. Whoever slept meanwhile learns from it, too: some slow answers in a row, as a disk gives at times, must
  /// not keep it from the quick ones after them.
  mutating func answered(at now: Monotonic) {
    switch state {
    case .resting: return
    case .looking(let since), .sleeping(let since):
      if now.microseconds(since: since) < limitMicroseconds {
        lastSkip = 0
        jobsToSkip = 0
      }
    }
    state = .resting
  }
}
