import Testing

@testable import NubWorker

private typealias Ticket = Scheduler<Int>.Ticket
private let a = TenantSlot(index: 1)
private let b = TenantSlot(index: 2)

private func ticket(
  _ tenant: TenantSlot = a, _ priority: UInt8 = 5, alone: Bool = false, expires: UInt64? = nil,
  bytes: Int = 0,
  at time: UInt64 = 0
) -> Ticket {
  Ticket(
    tenant: tenant, priority: priority, isAlone: alone, expires: expires, byteCount: bytes, enqueued: time)
}

/// `#require` cannot hold a mutating call itself.
private func required(_ batch: Scheduler<Int>.Batch?) throws -> Scheduler<Int>.Batch {
  try #require(batch)
}

/// One that knows that `tenant`'s jobs run for so many microseconds.
private func measured(
  _ policy: SchedulerPolicy = SchedulerPolicy(), _ tenant: TenantSlot = a, microseconds: UInt64 = 1
) throws -> Scheduler<Int> {
  var scheduler = Scheduler<Int>(policy: policy)
  scheduler.enqueue(0, ticket(tenant))
  let batch = try required(scheduler.next(at: 0))
  scheduler.finished(tenant, charged: batch.charged, jobs: 1, took: microseconds)
  return scheduler
}

@Suite struct SchedulerTests {
  @Test func `what waits goes in one batch, in order, up to the limit`() throws {
    var scheduler = try measured()
    for item in 0..<300 { scheduler.enqueue(item, ticket()) }
    #expect(scheduler.next(at: 0)?.items == Array(0..<256))
    #expect(scheduler.next(at: 0)?.items == Array(256..<300))
    #expect(scheduler.next(at: 0) == nil)
    #expect(scheduler.isEmpty)
  }

  @Test func `a higher priority goes first`() {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(1, ticket(a, 1))
    scheduler.enqueue(9, ticket(a, 9))
    scheduler.enqueue(5, ticket(a, 5))
    #expect(scheduler.next(at: 0)?.items == [9, 5, 1])
  }

  @Test func `waiting raises the priority until nothing starves`() {
    var policy = SchedulerPolicy()
    policy.batchJobs = 1
    var scheduler = Scheduler<Int>(policy: policy)
    scheduler.enqueue(0, ticket(a, 0))
    var time: UInt64 = 0
    var rounds = 0
    while rounds < 100 {
      scheduler.enqueue(9, ticket(a, 9, at: time))
      if scheduler.next(at: time)?.items == [0] { break }
      time += 500_000
      rounds += 1
    }
    #expect(rounds <= 20)
  }

  @Test func `a batch holds one tenant's jobs, and tenants take turns`() {
    var scheduler = Scheduler<Int>()
    for item in 0..<1_000 { scheduler.enqueue(item, ticket(a)) }
    for item in 0..<10 { scheduler.enqueue(item, ticket(b)) }
    let first = scheduler.next(at: 0)
    let second = scheduler.next(at: 0)
    #expect(Set([first?.tenant, second?.tenant]) == [a, b])
  }

  @Test func `tenants share run time, not batches`() throws {
    var policy = SchedulerPolicy()
    policy.batchJobs = 10
    var scheduler = Scheduler<Int>(policy: policy)
    // a's jobs run 1 ms, b's 10 µs.
    var used: [TenantSlot: UInt64] = [a: 0, b: 0]
    var waiting = [a: 0, b: 0]
    for _ in 0..<2_000 {
      for tenant in [a, b] {
        while waiting[tenant]! < 50 {
          scheduler.enqueue(0, ticket(tenant))
          waiting[tenant]! += 1
        }
      }
      let batch = try required(scheduler.next(at: 0))
      waiting[batch.tenant]! -= batch.items.count
      let took = UInt64(batch.items.count) * (batch.tenant == a ? 1_000 : 10)
      used[batch.tenant]! += took + UInt64(batch.items.count) * policy.jobOverheadMicroseconds
      scheduler.finished(batch.tenant, charged: batch.charged, jobs: batch.items.count, took: took)
    }
    let ratio = Double(used[a]!) / Double(used[b]!)
    #expect(ratio > 0.8 && ratio < 1.25)
  }

  @Test func `a tenant that was idle has no credit`() throws {
    var policy = SchedulerPolicy()
    policy.batchJobs = 1
    var scheduler = Scheduler<Int>(policy: policy)
    for item in 0..<100 { scheduler.enqueue(item, ticket(a)) }
    for _ in 0..<50 {
      let batch = try required(scheduler.next(at: 0))
      scheduler.finished(batch.tenant, charged: batch.charged, jobs: 1, took: 1_000)
    }
    for item in 0..<50 { scheduler.enqueue(item, ticket(b)) }
    var order: [TenantSlot] = []
    for _ in 0..<20 {
      let batch = try required(scheduler.next(at: 0))
      order.append(batch.tenant)
      scheduler.finished(batch.tenant, charged: batch.charged, jobs: 1, took: 1_000)
    }
    #expect(order.filter { $0 == a }.count >= 8)
  }

  @Test func `a job that must be alone is a batch of its own`() {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(1, ticket())
    scheduler.enqueue(2, ticket(alone: true))
    scheduler.enqueue(3, ticket())
    #expect(scheduler.next(at: 0)?.items == [1])
    let alone = scheduler.next(at: 0)
    #expect(alone?.items == [2] && alone?.isAlone == true)
    #expect(scheduler.next(at: 0)?.items == [3])
  }

  @Test func `an expired job is never handed out as work`() {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(1, ticket(expires: 100))
    scheduler.enqueue(2, ticket(expires: 101))
    scheduler.enqueue(3, ticket())
    let batch = scheduler.next(at: 100)
    #expect(batch?.expired == [1])
    #expect(batch?.items == [2, 3])
    scheduler.enqueue(4, ticket(expires: 100))
    scheduler.enqueue(5, ticket(expires: 200))
    #expect(scheduler.removeExpired(at: 150) == [4])
    #expect(scheduler.count == 1)
  }

  @Test func `what is given back goes first`() {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(3, ticket())
    scheduler.giveBack(2, ticket())
    scheduler.giveBack(1, ticket())
    #expect(scheduler.next(at: 0)?.items == [1, 2, 3])
  }

  @Test func `a batch's payload bytes are bounded, but a single large job goes`() {
    var policy = SchedulerPolicy()
    policy.batchBytes = 100
    var scheduler = Scheduler<Int>(policy: policy)
    scheduler.enqueue(1, ticket(bytes: 500))
    scheduler.enqueue(2, ticket(bytes: 60))
    scheduler.enqueue(3, ticket(bytes: 60))
    #expect(scheduler.next(at: 0)?.items == [1])
    #expect(scheduler.next(at: 0)?.items == [2])
    #expect(scheduler.next(at: 0)?.items == [3])
  }

  @Test func `long jobs are divided between idle lanes, short ones are not`() throws {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(0, ticket())
    let first = try required(scheduler.next(at: 0))
    scheduler.finished(a, charged: first.charged, jobs: 1, took: 2_000)
    for item in 0..<10 { scheduler.enqueue(item, ticket()) }
    #expect(scheduler.next(at: 0, idleLanes: 2)?.items.count == 5)

    var short = Scheduler<Int>()
    for item in 0..<10 { short.enqueue(item, ticket()) }
    #expect(short.next(at: 0, idleLanes: 2)?.items.count == 10)
  }

  @Test func `a batch is cut to what will probably run in its time`() throws {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(0, ticket())
    let first = try required(scheduler.next(at: 0))
    scheduler.finished(a, charged: first.charged, jobs: 1, took: 10_000)
    for item in 0..<10 { scheduler.enqueue(item, ticket()) }
    #expect(scheduler.next(at: 0)?.items.count == 2)
  }

  @Test func `a tenant of which nothing is known starts with a small batch`() throws {
    var scheduler = Scheduler<Int>()
    for item in 0..<1_000 { scheduler.enqueue(item, ticket(a)) }
    for item in 0..<10 { scheduler.enqueue(item, ticket(b)) }
    // a's jobs run 3 ms, b's 10 µs: b waits for as many of a's as fit a first batch, and not for 256.
    var before = 0
    while true {
      let batch = try required(scheduler.next(at: 0))
      if batch.tenant == b { break }
      before += batch.items.count
      let took = UInt64(batch.items.count) * 3_000
      scheduler.finished(a, charged: batch.charged, jobs: batch.items.count, took: took)
    }
    #expect(before == 16)
    // Then it is the time that counts: six jobs are 20 ms.
    var other = try measured(microseconds: 3_000)
    for item in 0..<1_000 { other.enqueue(item, ticket(a)) }
    #expect(other.next(at: 0)?.items.count == 6)
    // Jobs that take no time at all are known, too.
    var quick = try measured(microseconds: 0)
    for item in 0..<1_000 { quick.enqueue(item, ticket(a)) }
    #expect(quick.next(at: 0)?.items.count == 256)
  }

  @Test func `what a sandbox took to make is charged, but says nothing about the jobs`() throws {
    var scheduler = Scheduler<Int>()
    scheduler.enqueue(0, ticket(a))
    let first = try required(scheduler.next(at: 0))
    scheduler.finished(a, charged: first.charged, jobs: 1, took: 4_010, preparing: 4_000)
    for item in 0..<300 { scheduler.enqueue(item, ticket(a)) }
    #expect(scheduler.next(at: 0)?.items.count == 256)
    scheduler.enqueue(0, ticket(b))
    #expect(scheduler.next(at: 0)?.tenant == b)
  }

  @Test func `a lane keeps its tenant while that is not far ahead`() throws {
    var policy = SchedulerPolicy()
    policy.batchJobs = 1
    var scheduler = Scheduler<Int>(policy: policy)
    for item in 0..<1_000 {
      scheduler.enqueue(item, ticket(a))
      scheduler.enqueue(item, ticket(b))
    }
    var switches = 0
    var last = a
    for _ in 0..<1_000 {
      let batch = try required(scheduler.next(at: 0, for: CapHomes.Seat(tenant: last)))
      if batch.tenant != last { switches += 1 }
      last = batch.tenant
      scheduler.finished(batch.tenant, charged: batch.charged, jobs: 1, took: 100)
    }
    #expect(switches > 10 && switches < 100)
  }

  @Test func `removing finds jobs wherever they wait`() {
    var scheduler = Scheduler<Int>()
    for item in 0..<20 { scheduler.enqueue(item, ticket(item % 2 == 0 ? a : b, UInt8(item % 10))) }
    #expect(scheduler.remove { item, _ in item == 7 } == [7])
    #expect(scheduler.count == 19)
    #expect(scheduler.remove { _, _ in true }.count == 19)
    #expect(scheduler.next(at: 0) == nil)
  }
}
