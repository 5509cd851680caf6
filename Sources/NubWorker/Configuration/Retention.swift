internal import NubStore

/// How long the store keeps what nobody asks for again, in milliseconds; nil keeps it forever.
public struct Retention: Sendable, Equatable {
  /// Results with status 0. A job id whose result is gone is new again.
  public var results: Int64?
  /// Results with any other status.
  public var failures: Int64?
  /// The requests that are kept with failures for `nub results retry`.
  public var bodies: Int64?
  /// Caps that no other cap refers to, since their last use.
  public var caps: Int64?

  /// The store's own defaults: results 7 days, failures 30, their requests 7, caps 30.
  public init() {
    let policy = RetentionPolicy()
    results = policy.results
    failures = policy.failures
    bodies = policy.requests
    caps = policy.caps
  }

  /// Reads an age: a number and `s`, `m`, `h` or `d`, or `forever`.
  /// - Returns: milliseconds, nil for forever.
  /// - Throws: ``WorkerError`` with code `configuration`, whose message names `option`.
  public static func age(_ text: String, option: String) throws(WorkerError) -> Int64? {
    if text == "forever" { return nil }
    let units: [Character: Int64] = ["s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
    // A hundred thousand days are more than anybody means, and fewer than overflow.
    guard let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count > 0,
      count <= 100_000 * 86_400_000 / unit
    else {
      throw WorkerError(
        .configuration, "\(option) is \(text); an age such as 90s, 15m, 12h or 7d, or forever")
    }
    return count * unit
  }

  var policy: RetentionPolicy {
    var policy = RetentionPolicy()
    policy.results = results
    policy.failures = failures
    policy.requests = bodies
    policy.caps = caps
    return policy
  }
}
