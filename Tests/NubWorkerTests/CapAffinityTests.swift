import Testing

@testable import NubWorker

private typealias Ticket = Scheduler<Int>.Ticket
private typealias Seat = CapHomes.Seat
private let a = TenantSlot(index: 1)
private let b = TenantSlot(index: 2)

/// Two lanes, each with a sandbox of tenant a's; cap 7 is at home in the first, cap 8 in the second. Both have work.
private struct Two {
  var scheduler = Scheduler<Int>()
  let first = Seat(lane: 0, tenant: a, sandbox: 10)
  let second = Seat(lane: 1, tenant: a, sandbox: 11)

  init() throws {
    for (cap, seat) in [(UInt64(7), first), (8, second)] {
      enqueue(0, cap)
      #expect(next(seat) == [0])
    }
  }

  mutating func enqueue(
    _ item: Int, _ cap: UInt64, _ tenant: TenantSlot = a, priority: UInt8 = 5, at time: UInt64 = 0
  ) {
    scheduler.enqueue(
      item, Ticket(tenant: tenant, priority: priority, caps: CapHomes.Named(cap), enqueued: time))
  }

  mutating func next(_ seat: Seat, at time: UInt64 = 0) -> [Int]? {
    scheduler.next(at: time, for: seat)?.items
  }
}

@Suite struct CapAffinityTests {
  @Test func `a lane takes what is at home with it, and leaves the rest to those who hold it`() throws {
    var two = try Two()
    for (item, cap) in [(1, UInt64(7)), (2, 0), (3, 8), (4, 7), (5, 9)] { two.enqueue(item, cap) }
    #expect(two.next(two.second) == [2, 3, 5])
    #expect(two.next(two.first) == [1, 4])
    #expect(two.scheduler.isEmpty)
  }

  @Test func `a lane that has nothing else takes what another holds`() throws {
    var two = try Two()
    two.enqueue(1, 7)
    #expect(two.next(two.second) == [1])
    // Having helped out once does not make it the home.
    two.enqueue(2, 7)
    two.enqueue(3, 0)
    #expect(two.next(two.second) == [3])
  }

  @Test func `a lane that sleeps is left its own`() throws {
    var two = try Two()
    #expect(two.next(two.first) == nil)
    two.enqueue(1, 7)
    #expect(two.next(two.second) == nil && two.scheduler.count == 1)
    #expect(two.next(two.first) == [1])
  }

  @Test func `what has waited is not passed over`() throws {
    var two = try Two()
    for (item, cap) in [(1, UInt64(7)), (2, 0), (3, 7)] { two.enqueue(item, cap) }
    #expect(two.next(two.second, at: 20_000) == [1, 2, 3])
  }

  @Test func `not more than some are passed over`() throws {
    var two = try Two()
    for item in 0..<100 { two.enqueue(item, 7) }
    two.enqueue(100, 0)
    #expect(two.next(two.second) == Array(0..<16))
  }

  @Test func `of the caps that a call names, most decide`() throws {
    var two = try Two()
    two.enqueue(0, 9)
    #expect(two.next(two.second) == [0])
    // 7 is the first one's, 8 and 9 the second one's; nobody has 1.
    for (item, caps) in [[7, 8, 9], [8, 1, 9, 7], [7, 8], [1, 7], [7, 1, 2, 3, 8, 9]].enumerated() {
      two.scheduler.enqueue(
        item, Ticket(tenant: a, caps: CapHomes.Named(caps.map(UInt64.init)), enqueued: 0))
    }
    #expect(two.next(two.first) == [2, 3, 4])
    #expect(two.next(two.second) == [0, 1])
    let tie = CapHomes.Named(8, 7)
    two.scheduler.enqueue(5, Ticket(tenant: a, caps: tie, enqueued: 0))
    let batch = two.scheduler.next(at: 0, for: Seat(lane: 2, tenant: b, sandbox: 20))
    #expect(batch?.items == [5] && batch?.home == 11)
  }

  @Test func `a lower priority does not overtake`() throws {
    var two = try Two()
    two.enqueue(1, 7, priority: 9)
    two.enqueue(2, 0, priority: 9)
    two.enqueue(3, 8, priority: 1)
    #expect(two.next(two.second) == [2])
    #expect(two.next(two.second) == [1, 3])
  }

  @Test func `a sandbox that is gone, or somebody else's, is nobody's home`() throws {
    var two = try Two()
    // Poisoned, and another one taken.
    two.enqueue(1, 0)
    #expect(two.next(Seat(lane: 0, tenant: a, sandbox: 12)) == [1])
    for (item, cap) in [(2, UInt64(7)), (3, 0)] { two.enqueue(item, cap) }
    #expect(two.next(two.second) == [2, 3])
    // Restored for b: the number is the same, the caps are not there.
    two = try Two()
    two.enqueue(1, 0, b)
    #expect(two.next(Seat(lane: 0, tenant: b, sandbox: 10)) == [1])
    for (item, cap) in [(2, UInt64(7)), (3, 0)] { two.enqueue(item, cap) }
    #expect(two.next(two.second) == [2, 3])
    // Another tenant's cap of the same hash is another matter.
    two = try Two()
    two.enqueue(1, 7, b)
    #expect(two.next(Seat(lane: 1, tenant: b, sandbox: 13)) == [1])
  }

  @Test func `a lane without one of the tenant's sandboxes is told which to take`() throws {
    var two = try Two()
    two.enqueue(1, 0, b)
    #expect(two.next(Seat(lane: 0, tenant: b, sandbox: 20)) == [1])
    for (item, cap) in [(2, UInt64(0)), (3, 7)] { two.enqueue(item, cap) }
    let batch = two.scheduler.next(at: 0, for: Seat(lane: 0, tenant: b, sandbox: 20))
    #expect(batch?.items == [2, 3] && batch?.home == 10 && batch?.namesCaps == true)
  }

  @Test func `whatever the lanes hold, nothing is lost and nothing waits while all sleep`() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var scheduler = Scheduler<Int>()
      var seats = (0..<3).map { Seat(lane: $0) }
      var waiting = Set<Int>()
      for step in 0..<200 {
        let time = UInt64(step) * .random(in: 0...2_000, using: &random)
        for item in 0..<Int.random(in: 0...4, using: &random) {
          let tenant = Bool.random(using: &random) ? a : b
          let isAlone = Int.random(in: 0..<10, using: &random) == 0
          scheduler.enqueue(
            step * 10 + item,
            Ticket(
              tenant: tenant, priority: .random(in: 4...5, using: &random), isAlone: isAlone,
              caps: CapHomes.Named((0..<2).map { _ in .random(in: 0...5, using: &random) }), enqueued: time))
          waiting.insert(step * 10 + item)
        }
        // Some lanes ask; at times all of them, until each has found nothing.
        let drains = step % 20 == 19
        var asking = seats.indices.filter { _ in drains || Bool.random(using: &random) }.shuffled(
          using: &random)
        while let lane = asking.popLast() {
          guard let batch = scheduler.next(at: time, for: seats[lane], idleLanes: 3) else { continue }
          for item in batch.items { #expect(waiting.remove(item) != nil) }
          if seats[lane].tenant != batch.tenant || Int.random(in: 0..<20, using: &random) == 0 {
            seats[lane].tenant = batch.tenant
            seats[lane].sandbox = .random(in: 1...1_000_000, using: &random)
          }
          scheduler.served(batch, by: seats[lane])
          // As the queue wakes all that sleep once one has left them something.
          if drains { asking = seats.indices.shuffled(using: &random) }
        }
        if drains { #expect(waiting.isEmpty && scheduler.isEmpty) }
      }
    }
  }
}
