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

  /// The first caps that a job names, by eight bytes of each hash; 0: none. A few show where it belongs as well as all would.
  struct Named: Equatable, Sendable {
    private(set) var caps = SIMD4<UInt64>()
    static let none = Named()

    init(_ prefixes: UInt64...) { self.init(prefixes) }

    init(_ prefixes: some Sequence<UInt64>) {
      for (index, cap) in zip(caps.indices, prefixes) { caps[index] = cap }
    }

    var isEmpty: Bool { caps == SIMD4() }
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

  /// A sandbox of the tenant's is being supplied with caps. The first one stays a cap's home for as long as a lane has it: one that
  /// helps out once does not take it away.
  mutating func learn(_ named: Named, of tenant: TenantSlot, in sandbox: UInt64) {
    for index in named.caps.indices where named.caps[index] != 0 {
      let key = Key(tenant: tenant, cap: named.caps[index])
      if let home = homes[key] {
        if home == sandbox || seat(of: home, tenant) != nil { continue }
      } else if homes.count >= Self.maximum {
        homes.removeAll(keepingCapacity: true)
      }
      homes[key] = sandbox
    }
  }

  /// The sandbox that is home to most of the caps; 0: unknown.
  func home(of named: Named, of tenant: TenantSlot) -> UInt64 {
    most(votes(of: named, of: tenant), besides: 0).home
  }

  /// The other lane that is home to most of the caps now, and to more of them than `lane`, and whether it sleeps; nil: none, so
  /// `lane` is as good as any.
  func other(than lane: Int, with named: Named, of tenant: TenantSlot) -> (lane: Int, sleeps: Bool)? {
    var votes = votes(of: named, of: tenant)
    var mine = 0
    var own: UInt64 = 0
    for index in votes.indices where votes[index] != 0 {
      guard let seat = seat(of: votes[index], tenant) else {
        votes[index] = 0
        continue
      }
      guard seat == lane else { continue }
      mine += 1
      own = votes[index]
    }
    let best = most(votes, besides: own)
    guard best.count > mine, let found = seat(of: best.home, tenant) else { return nil }
    return (found, seats[found].sleeps)
  }

  private func votes(of named: Named, of tenant: TenantSlot) -> SIMD4<UInt64> {
    var found = SIMD4<UInt64>()
    for index in named.caps.indices where named.caps[index] != 0 {
      found[index] = homes[Key(tenant: tenant, cap: named.caps[index])] ?? 0
    }
    return found
  }

  /// Of equal ones the first.
  private func most(_ votes: SIMD4<UInt64>, besides own: UInt64) -> (home: UInt64, count: Int) {
    var best: (home: UInt64, count: Int) = (0, 0)
    for index in votes.indices where votes[index] != 0 && votes[index] != own {
      let count = votes.indices.count { votes[$0] == votes[index] }
      if count > best.count { best = (votes[index], count) }
    }
    return best
  }

  private func seat(of sandbox: UInt64, _ tenant: TenantSlot) -> Int? {
    seats.firstIndex { $0.seat.sandbox == sandbox && $0.seat.tenant == tenant }
  }
}
