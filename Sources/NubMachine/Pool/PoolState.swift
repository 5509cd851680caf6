/// Who has which sandbox, as a value without locks, threads or VMs, so that every decision of the pool can be tested.
///
/// `Item` stands for a sandbox. Each is in one of these states:
///
/// - *warm*: nothing has run in it since it was made or restored. It belongs to nobody.
/// - *idle*: a tenant's calls have run in it. It goes back to that tenant as it is, or to anybody after a restore.
/// - *taken*: out of the pool, with a lane.
/// - *pending*: being made or restored.
/// - *waste*: to be dropped.
struct PoolState<Item> {
  struct Idle {
    var item: Item
    var tenant: Int64
  }

  /// Where a caller's sandbox comes from.
  enum Grant {
    /// It may be used as it is.
    case ready(Item)
    /// It was another tenant's: restore it first, and drop it where that fails.
    case restoring(Item)
    /// Make one; the place for it is reserved.
    case making
    /// Nothing now, but one is being made or restored: ask again when something has changed.
    case pending
    /// The last attempt to make one failed, and it is too early for the next.
    case failing
    /// All places are taken by others.
    case exhausted
  }

  /// What the maintainer should do next.
  enum Chore {
    case drop(Item)
    case make
    case restore(Item)
    /// Nothing before this time.
    case wait(until: UInt64)
  }

  /// How many warm ones there should be where there is room, how many of them even at the cost of the longest unused
  /// idle one, and how many sandboxes in all.
  let warmTarget: Int
  let reclaimTarget: Int
  let maximum: Int

  private(set) var warm: [Item] = []
  /// Longest unused first.
  private(set) var idle: [Idle] = []
  private(set) var waste: [Item] = []
  private(set) var taken = 0
  private(set) var pending = 0
  private(set) var failuresInARow = 0
  /// When one may be made again after failures.
  private(set) var retryAt: UInt64 = 0
  var isClosed = false

  init(warmTarget: Int, reclaimTarget: Int? = nil, maximum: Int) {
    self.warmTarget = warmTarget
    self.reclaimTarget = min(warmTarget, reclaimTarget ?? warmTarget)
    self.maximum = maximum
  }

  var total: Int { warm.count + idle.count + taken + pending }

  /// A tenant wants a sandbox; `fresh` for one in which nothing has run. Of several that it has left it gets the one that
  /// `isPreferred` picks, else the last.
  mutating func take(
    tenant: Int64, fresh: Bool, now: UInt64 = .max, preferring isPreferred: (Item) -> Bool = { _ in false }
  ) -> Grant {
    if !fresh,
      let own = idle.lastIndex(where: { $0.tenant == tenant && isPreferred($0.item) })
        ?? idle.lastIndex(where: { $0.tenant == tenant })
    {
      taken += 1
      return .ready(idle.remove(at: own).item)
    }
    if let item = warm.popLast() {
      taken += 1
      return .ready(item)
    }
    if total < maximum, now >= retryAt {
      pending += 1
      return .making
    }
    // Where none can be made, the ones that there are go round.
    if !idle.isEmpty {
      pending += 1
      return .restoring(idle.removeFirst().item)
    }
    if pending > 0 { return .pending }
    return total < maximum ? .failing : .exhausted
  }

  /// What ``Grant/making`` or ``Grant/restoring(_:)`` reserved has come to be and is with the caller.
  mutating func granted() {
    pending -= 1
    taken += 1
    failuresInARow = 0
    retryAt = 0
  }

  /// A caller gives back what it took. One that is out of service is never used again.
  /// - Parameter keepsState: false where the tenant has no use for what is in it: then it is the first to be restored.
  mutating func give(_ item: Item, tenant: Int64, isPoisoned: Bool, keepsState: Bool = true) {
    taken -= 1
    if isPoisoned || isClosed {
      waste.append(item)
    } else {
      idle.insert(Idle(item: item, tenant: tenant), at: keepsState ? idle.count : 0)
    }
  }

  /// True where the maintainer has something to do, or something to wait for with a time.
  var hasChores: Bool {
    if !waste.isEmpty { return true }
    guard !isClosed else { return true }
    return (warm.count < warmTarget && total < maximum) || (warm.count < reclaimTarget && !idle.isEmpty)
  }

  /// What to do next. The item of a chore is out of the state until ``made(_:)``, ``failed(now:)`` or ``dropped()``.
  mutating func nextChore(now: UInt64) -> Chore {
    if let item = waste.popLast() { return .drop(item) }
    guard !isClosed, warm.count < warmTarget else { return .wait(until: .max) }
    if total < maximum {
      guard now >= retryAt else { return .wait(until: retryAt) }
      pending += 1
      return .make
    }
    // Every place is taken, but somebody's idle one can be made nobody's. A tenant that comes back finds it gone, which
    // costs it the state; a tenant that comes new would have to wait for the restore.
    guard warm.count < reclaimTarget, !idle.isEmpty else { return .wait(until: .max) }
    pending += 1
    return .restore(idle.removeFirst().item)
  }

  /// A chore's sandbox is ready.
  mutating func made(_ item: Item) {
    pending -= 1
    failuresInARow = 0
    retryAt = 0
    if isClosed { waste.append(item) } else { warm.append(item) }
  }

  /// What was to be made, by a chore or a caller, came to nothing. The next try waits, twice as long after each failure, at
  /// most half a minute.
  mutating func failed(now: UInt64) {
    pending -= 1
    let delay = min(UInt64(100_000_000) << UInt64(min(failuresInARow, 16)), 30_000_000_000)
    failuresInARow += 1
    retryAt = now &+ delay
  }

  /// Everything that nobody has out becomes waste.
  mutating func close() {
    isClosed = true
    waste.append(contentsOf: warm)
    waste.append(contentsOf: idle.map(\.item))
    warm = []
    idle = []
  }
}
