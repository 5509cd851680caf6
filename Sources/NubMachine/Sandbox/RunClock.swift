/// How long each call of an entry ran.
///
/// The guest says how many cycles a call took, and a guest may lie. It is believed within what the host's clock saw pass
/// between two looks at the results, so that an entry's calls never add up to more than the entry took, and to at most
/// ``slack`` less for each look: nobody runs for a minute and is counted as idle. Pure.
struct RunClock {
  /// What entering, leaving and being looked at may cost, nanoseconds; it is charged to no call.
  static let slack: UInt64 = 1_000_000

  /// When the host looked last, monotonic nanoseconds.
  private var looked: UInt64
  /// Nanoseconds before that look that no result has claimed.
  private var unclaimed: UInt64 = 0

  init(at now: UInt64) { looked = now }

  /// The host is about to read results.
  mutating func look(at now: UInt64) {
    unclaimed = now > looked ? now - looked : 0
    looked = max(now, looked)
  }

  /// The nanoseconds that a call ran.
  /// - Parameter isLast: no further result is there to be read.
  mutating func charge(cycles: UInt64, tscKilohertz: UInt64, isLast: Bool) -> UInt64 {
    let (scaled, overflow) = cycles.multipliedReportingOverflow(by: 1_000_000)
    let claimed = overflow ? unclaimed : min(scaled / max(tscKilohertz, 1), unclaimed)
    let charged = isLast && unclaimed > Self.slack ? max(claimed, unclaimed - Self.slack) : claimed
    unclaimed -= charged
    return charged
  }

  /// The host kept the guest waiting for that long.
  mutating func pause(nanoseconds: UInt64) { looked &+= nanoseconds }

  /// The nanoseconds that a call has run whose result will not come.
  func running(at now: UInt64) -> UInt64 { now > looked ? now - looked : 0 }
}
