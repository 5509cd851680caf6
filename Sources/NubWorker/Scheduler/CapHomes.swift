/// Which sandbox holds which cap, as far as the scheduler knows: where calls that name the cap should rather run.
///
/// A hint and no more: it decides who supplies a cap again, never whether a call may see it. So it may be wrong (a guest evicts, a
/// sandbox is restored), may take two caps for one (it keeps eight bytes of a hash), and may forget everything at once.
struct CapHomes {
  /// A lane, and what it has.
  struct Seat: Sendable {
    var lane = 0
    /// Whose sandbox it has.
    var tenant: TenantSlot?
    /// 0: none.
    var sandbox: UInt64 = 0
  }

  private struct Key: Hashable {
    var tenant: TenantSlot
    var cap: UInt64
  }

  private var homes: [Key: UInt64] = [:]
  /// By lane.
  private var seats: [(seat: Seat, sleeps: Bool)] = []

  /// Homes that are remembered; producers choose the caps, so there is a bound.
  static let maximum = 8_192

  /// What a lane has now; it is awake.
  mutating func sit(_ seat: Seat) {
    while seats.count <= seat.lane { seats.append((Seat(lane: seats.count), false)) }
    seats[seat.lane] = (seat, false)
  }

  /// A lane has found nothing to do and sleeps until it is woken.
  mutating func sleep(lane: Int) { seats[lane].sleeps = true }

  /// A sandbox of the tenant's is being supplied with a cap. The first one stays its home for as long as a lane has it: one that
  /// helps out once does not take it away.
  mutating func learn(_ cap: UInt64, of tenant: TenantSlot, in sandbox: UInt64) {
    let key = Key(tenant: tenant, cap: cap)
    if let home = homes[key] {
      if home == sandbox || seat(of: home, tenant) != nil { return }
    } else if homes.count >= Self.maximum {
      homes.removeAll(keepingCapacity: true)
    }
    homes[key] = sandbox
  }

  /// The sandbox that was supplied with the cap; 0: unknown.
  func home(of cap: UInt64, of tenant: TenantSlot) -> UInt64 { homes[Key(tenant: tenant, cap: cap)] ?? 0 }

  /// The other lane that has the cap's sandbox now, and whether it sleeps; nil: none, so `lane` is as good as any.
  func other(than lane: Int, with cap: UInt64, of tenant: TenantSlot) -> (lane: Int, sleeps: Bool)? {
    let home = home(of: cap, of: tenant)
    guard home != 0, let found = seat(of: home, tenant), found != lane else { return nil }
    return (found, seats[found].sleeps)
  }

  private func seat(of sandbox: UInt64, _ tenant: TenantSlot) -> Int? {
    seats.firstIndex { $0.seat.sandbox == sandbox && $0.seat.tenant == tenant }
  }
}
