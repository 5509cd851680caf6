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
  /// - Returns: milliseconds, nil for forever; nil within that for what is no age.
  public static func age(_ text: String) -> Int64?? {
    if text == "forever" { return .some(nil) }
    // A hundred thousand days are more than anybody means, and fewer than overflow.
    guard let unit = text.last.flatMap({ last in units.first { $0.name == last } }),
      let count = Int64(text.dropLast()), count > 0, count <= 100_000 * 86_400_000 / unit.milliseconds
    else { return nil }
    return count * unit.milliseconds
  }

  /// The text that ``age(_:)`` reads.
  public static func text(_ age: Int64?) -> String {
    guard let age else { return "forever" }
    let unit = units.first { age.isMultiple(of: $0.milliseconds) }
    return unit.map { "\(age / $0.milliseconds)\($0.name)" } ?? "\(age / 1_000)s"
  }

  private static let units: [(name: Character, milliseconds: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000),
  ]

  /// A cap that was used at this Unix time in milliseconds or later is left alone by retention until another use is written down, some
  /// tenths of a second from now. One that may go at any moment is not known for sure: it is put as if it were new, and the
  /// transaction that keeps it comes before the reply.
  static func keptSince(age: Int64?) -> Int64 {
    guard let age else { return .min }
    return UnixTime.milliseconds - age / 2
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
