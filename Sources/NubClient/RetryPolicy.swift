/// When a message is sent again, always with the same id, so that the job still takes effect once.
public struct RetryPolicy: Sendable, Hashable {
  /// Pause after the first sending.
  public var first: Duration
  /// What the pause is multiplied with each time.
  public var factor: Double
  /// The pause never grows past this.
  public var longest: Duration

  public init(first: Duration = .seconds(2), factor: Double = 2, longest: Duration = .seconds(30)) {
    self.first = first
    self.factor = factor
    self.longest = longest
  }

  /// The pause after the `attempt`th sending, counted from 1. `scatter`, 0 to 1, moves it by up to 15 % each way, so
  /// that producers cut off together do not return together.
  func pause(attempt: Int, scatter: Double) -> Duration {
    var pause = first
    var sendings = 1
    while sendings < attempt, pause < longest, sendings < 64 {
      pause = pause * factor
      sendings += 1
    }
    return min(pause, longest) * (0.85 + 0.3 * scatter)
  }
}
