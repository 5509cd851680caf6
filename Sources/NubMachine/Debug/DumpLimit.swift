/// How often faults are dumped by themselves: a job that faults again and again must not keep the disk and a lane busy with
/// copies of the same thing. A pure value; one for all sandboxes of a template.
struct DumpLimit: Equatable, Sendable {
  /// Dumps that may come at once, and how long it takes to earn another, nanoseconds.
  static let burst: UInt64 = 8
  static let interval: UInt64 = 10_000_000_000

  /// When everything that was taken has been earned again.
  private var paidUntil: UInt64 = 0
  /// Faults that got no dump since the last that got one.
  private(set) var skipped: UInt64 = 0

  /// What becomes of a fault at `now`: the number of faults skipped before it where it may be dumped, nil where not.
  mutating func take(now: UInt64) -> UInt64? {
    let start = max(paidUntil, now)
    guard start - now <= (DumpLimit.burst - 1) * DumpLimit.interval else {
      skipped += 1
      return nil
    }
    paidUntil = start + DumpLimit.interval
    defer { skipped = 0 }
    return skipped
  }
}
