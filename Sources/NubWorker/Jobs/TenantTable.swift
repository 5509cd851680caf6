/// A tenant's number inside this process, never used for another one: a sandbox remembers whose it is by it. 0 is the default
/// tenant, whose name is empty.
struct TenantSlot: Hashable, Sendable {
  var index: UInt64
  static let `default` = TenantSlot(index: 0)
}

/// Gives the tenants that have live jobs numbers, so that names are compared once per message and never again.
///
/// Producers choose names, so the table forgets those without live jobs when it grows; one that comes back gets a new number.
struct TenantTable {
  private struct Entry {
    var name: ShortBytes
    var jobs = 0
  }

  private var slots: [ShortBytes: TenantSlot] = [:]
  private var entries: [TenantSlot: Entry] = [:]
  private var last: UInt64 = 0
  /// How many names are kept before those without jobs are dropped.
  private let softLimit: Int

  init(softLimit: Int = 4_096) {
    self.softLimit = softLimit
  }

  var count: Int { slots.count }

  /// The tenant's number; it stays good while the tenant has jobs (``retain(_:)``), or until the next call of this function.
  mutating func slot(for name: ShortBytes) -> TenantSlot {
    if name.isEmpty { return .default }
    if let slot = slots[name] { return slot }
    if slots.count >= softLimit { dropIdle() }
    last += 1
    let slot = TenantSlot(index: last)
    entries[slot] = Entry(name: name)
    slots[name] = slot
    return slot
  }

  mutating func retain(_ slot: TenantSlot) {
    if slot != .default { entries[slot]?.jobs += 1 }
  }

  mutating func release(_ slot: TenantSlot) {
    if slot != .default { entries[slot]?.jobs -= 1 }
  }

  private mutating func dropIdle() {
    for (slot, entry) in entries where entry.jobs == 0 {
      slots[entry.name] = nil
      entries[slot] = nil
    }
  }
}
