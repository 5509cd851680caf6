internal import DequeModule
internal import HeapModule

/// Decides which jobs run next. A pure value: no clock, no lock, no thread; whoever holds it passes the time in.
///
/// - Tenants take turns by run time: the one that has used least goes next (start-time fair queueing), so a tenant that floods the
///   queue, or whose jobs are long, delays the others by one batch.
/// - Within a tenant the highest priority goes first; waiting raises it, so nothing starves.
/// - A batch holds jobs of one tenant. A job that must be alone makes a batch of its own.
/// - Of one tenant and priority, those whose caps another lane's sandbox holds are left to that lane, as long as this costs nobody a
///   wait: see ``fill(_:_:_:_:_:)``.
/// - A job that has expired is handed out as expired, never as work.
struct Scheduler<Item> {
  /// What the scheduler needs to know of a job.
  struct Ticket: Sendable {
    var tenant: TenantSlot
    /// 0 to 9, 9 first.
    var priority: UInt8 = 5
    /// Runs by itself: in a fresh sandbox, or because it is suspected of having killed one.
    var isAlone = false
    /// Microseconds on the clock that is passed to ``Scheduler/next(at:for:idleLanes:)``; not to be started after it.
    var expires: UInt64?
    /// Payload bytes.
    var byteCount = 0
    /// The caps that it names.
    var caps = CapHomes.Named.none
    /// When it was accepted, on the same clock.
    var enqueued: UInt64
  }

  /// What a lane runs in one go.
  struct Batch {
    var tenant: TenantSlot
    var items: [Item] = []
    var tickets: [Ticket] = []
    var isAlone = false
    /// Never to be run: their time was over before it was their turn.
    var expired: [Item] = []
    /// What the tenant was charged for it, to be corrected by ``Scheduler/finished(_:charged:jobs:took:preparing:)``.
    var charged: UInt64 = 0
    /// Whether any of them names a cap.
    var namesCaps = false
    /// The sandbox that holds those of the first such job, for a lane that has none of this tenant's; 0: any.
    var home: UInt64 = 0
  }

  private struct Entry {
    var item: Item
    var ticket: Ticket
  }

  private struct Tenant {
    /// One queue per priority.
    var levels: [Deque<Entry>] = Array(repeating: Deque(), count: 10)
    var count = 0
    /// Run time used so far, in microseconds, as if all tenants had started together.
    var virtualTime: UInt64 = 0
    /// How long one job runs, a moving average; 0 until the first batch has run.
    var jobMicroseconds: UInt64 = 0
    /// Whether `turns` has an entry for it.
    var isQueued = false
  }

  private struct Turn: Comparable {
    var virtualTime: UInt64
    var tenant: TenantSlot

    static func < (a: Turn, b: Turn) -> Bool {
      (a.virtualTime, a.tenant.index) < (b.virtualTime, b.tenant.index)
    }
  }

  let policy: SchedulerPolicy
  private var tenants: [TenantSlot: Tenant] = [:]
  private var turns = Heap<Turn>()
  /// The virtual time of the tenant that went last: where a tenant starts that comes (back) in.
  private var virtualTime: UInt64 = 0
  /// Jobs waiting.
  private(set) var count = 0
  private var expiring = 0
  private var homes = CapHomes()

  init(policy: SchedulerPolicy = SchedulerPolicy()) {
    self.policy = policy
  }

  var isEmpty: Bool { count == 0 }

  /// Takes a job in, behind those of its tenant and priority.
  mutating func enqueue(_ item: Item, _ ticket: Ticket) {
    insert(item, ticket, atFront: false)
  }

  /// Takes a job back that was handed out and not run: it goes to the front.
  mutating func giveBack(_ item: Item, _ ticket: Ticket) {
    insert(item, ticket, atFront: true)
  }

  /// The next batch, or nil if nothing waits, or only what another lane that sleeps should be woken for.
  ///
  /// - Parameters:
  ///   - now: in microseconds.
  ///   - seat: the asking lane. It sleeps from nil until it asks again.
  ///   - idleLanes: how many lanes are without work, the asking one included.
  mutating func next(
    at now: UInt64, for seat: CapHomes.Seat = CapHomes.Seat(), idleLanes: Int = 1
  ) -> Batch? {
    homes.sit(seat)
    guard let slot = nextTenant(preferring: seat.tenant) else {
      homes.sleep(lane: seat.lane)
      return nil
    }
    // Taken out while it is worked on, so that its queues are not copied.
    guard var tenant = tenants.removeValue(forKey: slot) else { return nil }
    virtualTime = max(virtualTime, tenant.virtualTime)
    let batch = fill(slot, &tenant, now, idleLanes, seat)
    tenant.virtualTime &+= batch.charged
    if tenant.count > 0, !tenant.isQueued {
      turns.insert(Turn(virtualTime: tenant.virtualTime, tenant: slot))
      tenant.isQueued = true
    }
    tenants[slot] = tenant
    if batch.items.isEmpty, batch.expired.isEmpty {
      homes.sleep(lane: seat.lane)
      return nil
    }
    if batch.namesCaps, seat.tenant == slot { served(batch, by: seat) }
    return batch
  }

  /// The caps that a batch's jobs name are in this lane's sandbox, or will be at once.
  mutating func served(_ batch: Batch, by seat: CapHomes.Seat) {
    guard seat.sandbox != 0 else { return }
    homes.sit(seat)
    for ticket in batch.tickets where !ticket.caps.isEmpty {
      homes.learn(ticket.caps, of: batch.tenant, in: seat.sandbox)
    }
  }

  /// Corrects what a tenant was charged, once it is known how long its jobs ran.
  ///
  /// - Parameter preparing: how much of the time went into the sandbox before the first job.
  mutating func finished(
    _ slot: TenantSlot, charged: UInt64, jobs: Int, took microseconds: UInt64, preparing: UInt64 = 0
  ) {
    guard jobs > 0, var tenant = tenants.removeValue(forKey: slot) else { return }
    let perJob = max(1, (microseconds - min(preparing, microseconds)) / UInt64(jobs))
    tenant.jobMicroseconds = tenant.jobMicroseconds == 0 ? perJob : (tenant.jobMicroseconds * 7 + perJob) / 8
    let actual = microseconds &+ UInt64(jobs) * policy.jobOverheadMicroseconds
    if actual >= charged {
      tenant.virtualTime &+= actual - charged
    } else {
      tenant.virtualTime -= min(tenant.virtualTime, charged - actual)
    }
    // A tenant without jobs is remembered for as long as it is ahead of the others.
    if tenant.count > 0 || tenant.isQueued || tenant.virtualTime > virtualTime || tenants.count < 1_024 {
      tenants[slot] = tenant
    }
  }

  /// Takes out all jobs that have expired.
  mutating func removeExpired(at now: UInt64) -> [Item] {
    guard expiring > 0 else { return [] }
    return remove { ($1.expires ?? .max) <= now }
  }

  /// Takes out the jobs for which `isWanted` holds; looks at all of them.
  mutating func remove(where isWanted: (Item, Ticket) -> Bool) -> [Item] {
    var removed: [Item] = []
    for slot in Array(tenants.keys) {
      guard var tenant = tenants.removeValue(forKey: slot) else { continue }
      for level in tenant.levels.indices {
        tenant.levels[level].removeAll { entry in
          guard isWanted(entry.item, entry.ticket) else { return false }
          removed.append(entry.item)
          if entry.ticket.expires != nil { expiring -= 1 }
          return true
        }
      }
      tenant.count = tenant.levels.reduce(0) { $0 + $1.count }
      tenants[slot] = tenant
    }
    count -= removed.count
    return removed
  }

  /// How many jobs of each priority wait, and for how long the first of them.
  func levels(at now: UInt64) -> [QueueLevel] {
    var levels = [QueueLevel](repeating: QueueLevel(), count: 10)
    guard count > 0 else { return levels }
    for tenant in tenants.values where tenant.count > 0 {
      for index in tenant.levels.indices {
        guard let first = tenant.levels[index].first else { continue }
        levels[index].jobs += tenant.levels[index].count
        let waited = now > first.ticket.enqueued ? now - first.ticket.enqueued : 0
        levels[index].oldestMicroseconds = max(levels[index].oldestMicroseconds, waited)
      }
    }
    return levels
  }

  // MARK: Inside

  private mutating func insert(_ item: Item, _ ticket: Ticket, atFront: Bool) {
    var tenant = tenants.removeValue(forKey: ticket.tenant) ?? Tenant()
    let level = Int(min(ticket.priority, 9))
    let entry = Entry(item: item, ticket: ticket)
    if atFront { tenant.levels[level].prepend(entry) } else { tenant.levels[level].append(entry) }
    tenant.count += 1
    count += 1
    if ticket.expires != nil { expiring += 1 }
    if !tenant.isQueued {
      // No credit for having been idle.
      tenant.virtualTime = max(tenant.virtualTime, virtualTime)
      turns.insert(Turn(virtualTime: tenant.virtualTime, tenant: ticket.tenant))
      tenant.isQueued = true
    }
    tenants[ticket.tenant] = tenant
  }

  private mutating func nextTenant(preferring preferred: TenantSlot?) -> TenantSlot? {
    while let turn = turns.min {
      guard let tenant = tenants[turn.tenant], tenant.count > 0 else {
        turns.removeMin()
        tenants[turn.tenant]?.isQueued = false
        continue
      }
      if tenant.virtualTime > turn.virtualTime {
        // It has been charged since it was queued.
        turns.replaceMin(with: Turn(virtualTime: tenant.virtualTime, tenant: turn.tenant))
        continue
      }
      if let preferred, preferred != turn.tenant, let other = tenants[preferred], other.count > 0,
        other.virtualTime <= tenant.virtualTime &+ policy.affinityMicroseconds
      {
        return preferred
      }
      turns.removeMin()
      tenants[turn.tenant]?.isQueued = false
      return turn.tenant
    }
    return nil
  }

  /// Takes a batch from a tenant.
  ///
  /// Passes over jobs whose caps another lane's sandbox holds, if it finds others of the same priority. If it finds none, it takes them
  /// all the same, so that no lane is idle while jobs wait, unless that other lane sleeps and can have them at once: then the batch
  /// is empty. A job that has waited for long is not passed over.
  private mutating func fill(
    _ slot: TenantSlot, _ tenant: inout Tenant, _ now: UInt64, _ idleLanes: Int, _ seat: CapHomes.Seat?
  ) -> Batch {
    var batch = Batch(tenant: slot)
    let limit = batchLimit(tenant, idleLanes)
    var bytes = 0
    var passed: [Entry] = []
    var isLeftToSleeper = false
    while batch.items.count < limit, let level = bestLevel(tenant, now) {
      // A run of one level; the next look at the others comes with the next run.
      while batch.items.count < limit, let entry = tenant.levels[level].first {
        let isFirst = batch.items.isEmpty
        let isExpired = (entry.ticket.expires ?? .max) <= now
        if !isExpired, !isFirst, entry.ticket.isAlone || bytes + entry.ticket.byteCount > policy.batchBytes {
          break
        }
        if !entry.ticket.caps.isEmpty, !isExpired, let seat,
          let other = betterLane(for: entry.ticket, seat, now)
        {
          if passed.isEmpty { isLeftToSleeper = other.sleeps }
          if passed.count == policy.passedJobs { break }
          passed.append(entry)
          tenant.levels[level].removeFirst()
          continue
        }
        tenant.levels[level].removeFirst()
        tenant.count -= 1
        count -= 1
        if entry.ticket.expires != nil { expiring -= 1 }
        if isExpired {
          batch.expired.append(entry.item)
          continue
        }
        if isFirst {
          batch.items.reserveCapacity(min(limit, tenant.count + 1))
          batch.tickets.reserveCapacity(min(limit, tenant.count + 1))
        }
        bytes += entry.ticket.byteCount
        batch.items.append(entry.item)
        batch.tickets.append(entry.ticket)
        if !entry.ticket.caps.isEmpty { note(entry.ticket, in: &batch, seat) }
        if entry.ticket.isAlone {
          batch.isAlone = true
          break
        }
      }
      // What is passed over goes back to where it was, before a lower priority could overtake it.
      for entry in passed.reversed() { tenant.levels[level].prepend(entry) }
      if batch.isAlone || !passed.isEmpty || !tenant.levels[level].isEmpty { break }
    }
    if batch.items.isEmpty, batch.expired.isEmpty, !passed.isEmpty, !isLeftToSleeper {
      return fill(slot, &tenant, now, idleLanes, nil)
    }
    return charge(&batch, tenant)
  }

  private func betterLane(
    for ticket: Ticket, _ seat: CapHomes.Seat, _ now: UInt64
  ) -> (lane: Int, sleeps: Bool)? {
    guard !ticket.isAlone, now < ticket.enqueued &+ policy.passedMicroseconds else { return nil }
    return homes.other(than: seat.lane, with: ticket.caps, of: ticket.tenant)
  }

  private func note(_ ticket: Ticket, in batch: inout Batch, _ seat: CapHomes.Seat?) {
    batch.namesCaps = true
    guard batch.home == 0, seat?.tenant != batch.tenant else { return }
    batch.home = homes.home(of: ticket.caps, of: batch.tenant)
  }

  private func charge(_ batch: inout Batch, _ tenant: Tenant) -> Batch {
    batch.charged = UInt64(batch.items.count) * (tenant.jobMicroseconds + policy.jobOverheadMicroseconds)
    return batch
  }

  private func batchLimit(_ tenant: Tenant, _ idleLanes: Int) -> Int {
    let perJob = max(1, tenant.jobMicroseconds)
    // Nothing can be cut to a time while it is not known how long a job runs.
    let known =
      tenant.jobMicroseconds == 0 ? policy.firstBatchJobs : Int(clamping: policy.batchMicroseconds / perJob)
    var limit = min(policy.batchJobs, max(1, known))
    if idleLanes > 1, UInt64(tenant.count) * perJob > policy.splitMicroseconds {
      limit = min(limit, max(1, (tenant.count + idleLanes - 1) / idleLanes))
    }
    return limit
  }

  /// The level whose first job has the highest priority after aging; of equal ones the job that waits longest.
  private func bestLevel(_ tenant: Tenant, _ now: UInt64) -> Int? {
    var best: Int?
    var bestRank: (UInt64, UInt64) = (0, 0)
    for level in tenant.levels.indices {
      guard let first = tenant.levels[level].first else { continue }
      let waited = now > first.ticket.enqueued ? now - first.ticket.enqueued : 0
      let rank = (UInt64(level) + waited / policy.agingMicroseconds, waited)
      if best == nil || rank > bestRank {
        best = level
        bestRank = rank
      }
    }
    return best
  }
}
