import Foundation
import NubABI
import NubELF
import Synchronization
import Testing

@testable import NubMachine

/// The pool's decisions, without a VM.
@Suite struct PoolStateTests {
  static func state(warm: Int = 2, maximum: Int = 4) -> PoolState<Int> {
    PoolState(warmTarget: warm, maximum: maximum)
  }

  /// Does chores until there is nothing to do; new sandboxes are numbered from `next`.
  static func settle(_ state: inout PoolState<Int>, next: inout Int) {
    while true {
      switch state.nextChore(now: 0) {
      case .make:
        state.made(next)
        next += 1
      case .restore(let item): state.made(item + 1000)
      case .drop: break
      case .wait: return
      }
    }
  }

  @Test func warmOnesAreMadeAheadUpToTheTarget() {
    var state = Self.state()
    var next = 1
    Self.settle(&state, next: &next)
    #expect(state.warm == [1, 2])
    #expect(state.total == 2)
  }

  @Test func aTenantGetsItsOwnBackAndAnotherTenantDoesNot() {
    var state = Self.state()
    var next = 1
    Self.settle(&state, next: &next)
    guard case .ready(let first) = state.take(tenant: 7, fresh: false) else { return #expect(Bool(false)) }
    state.give(first, tenant: 7, isPoisoned: false)
    guard case .ready(let other) = state.take(tenant: 8, fresh: false) else { return #expect(Bool(false)) }
    #expect(other != first)
    guard case .ready(let again) = state.take(tenant: 7, fresh: false) else { return #expect(Bool(false)) }
    #expect(again == first)
  }

  @Test func ofItsOwnATenantGetsTheOneThatItPrefers() {
    var state = Self.state(warm: 0, maximum: 4)
    for _ in 1...4 {
      guard case .making = state.take(tenant: 1, fresh: false) else { return #expect(Bool(false)) }
      state.granted()
    }
    for item in 1...4 { state.give(item, tenant: item == 4 ? 2 : 1, isPoisoned: false) }
    func taken(_ wanted: Int, fresh: Bool = false) -> Int? {
      guard case .ready(let item) = state.take(tenant: 1, fresh: fresh, preferring: { $0 == wanted }) else {
        return nil
      }
      return item
    }
    #expect(taken(1) == 1)
    // Not one of another tenant's, and not one that is out: then the last of its own.
    #expect(taken(4) == 3)
    #expect(taken(1) == 2)
    #expect(taken(4) == nil)
  }

  @Test func aFreshOneIsNeverTheOneThatWasUsed() {
    var state = Self.state()
    var next = 1
    Self.settle(&state, next: &next)
    guard case .ready(let first) = state.take(tenant: 7, fresh: false) else { return #expect(Bool(false)) }
    state.give(first, tenant: 7, isPoisoned: false)
    guard case .ready(let fresh) = state.take(tenant: 7, fresh: true) else { return #expect(Bool(false)) }
    #expect(fresh != first)
  }

  @Test func atTheMaximumTheLongestUnusedOneIsReleasedAndOnlyAfterARestore() {
    var state = Self.state(warm: 0, maximum: 2)
    for item in [1, 2] {
      guard case .making = state.take(tenant: Int64(item), fresh: false) else { return #expect(Bool(false)) }
      state.granted()
    }
    state.give(1, tenant: 1, isPoisoned: false)
    state.give(2, tenant: 2, isPoisoned: false)
    guard case .restoring(let item) = state.take(tenant: 3, fresh: false) else { return #expect(Bool(false)) }
    #expect(item == 1)
    state.granted()
    #expect(state.total == 2)
  }

  @Test func aCallerThatGetsNoneHearsWhy() {
    var state = Self.state(warm: 0, maximum: 1)
    guard case .making = state.take(tenant: 1, fresh: false) else { return #expect(Bool(false)) }
    guard case .pending = state.take(tenant: 2, fresh: false) else { return #expect(Bool(false)) }
    state.failed(now: 0)
    guard case .failing = state.take(tenant: 2, fresh: false, now: 0) else { return #expect(Bool(false)) }
    guard case .making = state.take(tenant: 2, fresh: false, now: state.retryAt) else {
      return #expect(Bool(false))
    }
    state.granted()
    guard case .exhausted = state.take(tenant: 2, fresh: false) else { return #expect(Bool(false)) }
  }

  @Test func whereNoneCanBeMadeThoseThatThereAreGoRound() {
    var state = Self.state(warm: 0, maximum: 4)
    guard case .making = state.take(tenant: 1, fresh: false) else { return #expect(Bool(false)) }
    state.granted()
    state.give(1, tenant: 1, isPoisoned: false)
    guard case .making = state.take(tenant: 2, fresh: false) else { return #expect(Bool(false)) }
    state.failed(now: 0)
    guard case .restoring(1) = state.take(tenant: 2, fresh: false, now: 0) else {
      return #expect(Bool(false))
    }
  }

  @Test func warmOnesBeyondTheReclaimTargetCostNobodyItsState() {
    var state = PoolState<Int>(warmTarget: 2, reclaimTarget: 1, maximum: 4)
    var next = 1
    for tenant in 1...4 as ClosedRange<Int64> {
      guard case .making = state.take(tenant: tenant, fresh: false) else { return #expect(Bool(false)) }
      state.granted()
    }
    for tenant in 1...4 as ClosedRange<Int64> { state.give(Int(tenant), tenant: tenant, isPoisoned: false) }
    Self.settle(&state, next: &next)
    #expect(state.warm == [1001])
    #expect(state.idle.map(\.tenant) == [2, 3, 4])
  }

  @Test func whatATenantHasNoUseForIsTheFirstToBeRestored() {
    var state = Self.state(warm: 0, maximum: 2)
    for tenant in 1...2 as ClosedRange<Int64> {
      guard case .making = state.take(tenant: tenant, fresh: false) else { return #expect(Bool(false)) }
      state.granted()
    }
    state.give(1, tenant: 1, isPoisoned: false)
    state.give(2, tenant: 2, isPoisoned: false, keepsState: false)
    guard case .restoring(2) = state.take(tenant: 3, fresh: false) else { return #expect(Bool(false)) }
  }

  @Test func aPoisonedOneIsDroppedAndReplaced() {
    var state = Self.state(warm: 1, maximum: 1)
    var next = 1
    Self.settle(&state, next: &next)
    guard case .ready(let item) = state.take(tenant: 1, fresh: false) else { return #expect(Bool(false)) }
    state.give(item, tenant: 1, isPoisoned: true)
    #expect(state.waste == [1])
    Self.settle(&state, next: &next)
    #expect(state.warm == [2] && state.waste == [])
  }

  @Test func failuresWaitLongerEachTimeAndNeverLoop() {
    var state = Self.state(warm: 1, maximum: 1)
    var now: UInt64 = 0
    var delays: [UInt64] = []
    for _ in 0..<12 {
      guard case .make = state.nextChore(now: now) else { return #expect(Bool(false)) }
      state.failed(now: now)
      guard case .wait(let until) = state.nextChore(now: now) else { return #expect(Bool(false)) }
      delays.append(until - now)
      now = until
    }
    #expect(delays.first == 100_000_000)
    #expect(zip(delays, delays.dropFirst()).allSatisfy { $0 <= $1 })
    #expect(delays.last == 30_000_000_000)
    #expect(state.total == 0)
  }

  @Test func afterCloseEverythingIsDropped() {
    var state = Self.state(warm: 2, maximum: 4)
    var next = 1
    Self.settle(&state, next: &next)
    guard case .ready(let item) = state.take(tenant: 1, fresh: false) else { return #expect(Bool(false)) }
    state.close()
    state.give(item, tenant: 1, isPoisoned: false)
    Self.settle(&state, next: &next)
    #expect(state.total == 0 && state.waste == [])
  }

  /// Random use: no sandbox is in two places, none goes from one tenant to another without a restore, none is lost.
  @Test func randomUseKeepsEverySandboxInOnePlaceAndWithOneTenant() {
    var random = Splitmix(state: 42)
    var state = Self.state(warm: 2, maximum: 5)
    var next = 1
    var owner: [Int: Int64] = [:]
    var out: [(item: Int, tenant: Int64)] = []
    for _ in 0..<20_000 {
      switch Int.random(in: 0..<5, using: &random) {
      case 0, 1:
        let tenant = Int64.random(in: 0..<4, using: &random)
        switch state.take(tenant: tenant, fresh: Bool.random(using: &random)) {
        case .ready(let item):
          #expect(owner[item] == nil || owner[item] == tenant)
          owner[item] = tenant
          out.append((item, tenant))
        case .restoring(let item):
          #expect(owner[item] != nil)
          state.granted()
          owner[item] = tenant
          out.append((item, tenant))
        case .making:
          state.granted()
          owner[next] = tenant
          out.append((next, tenant))
          next += 1
        case .exhausted: #expect(out.count == 5)
        case .pending, .failing: Issue.record("nothing is being made, and nothing has failed")
        }
      case 2 where !out.isEmpty:
        let (item, tenant) = out.remove(at: Int.random(in: 0..<out.count, using: &random))
        state.give(item, tenant: tenant, isPoisoned: Int.random(in: 0..<4, using: &random) == 0)
      default:
        switch state.nextChore(now: 0) {
        case .make:
          state.made(next)
          next += 1
        case .restore(let item):
          owner[item] = nil
          state.made(item)
        case .drop(let item): owner[item] = nil
        case .wait: break
        }
      }
      let items = state.warm + state.idle.map(\.item) + state.waste + out.map(\.item)
      #expect(Set(items).count == items.count)
      #expect(state.total <= 5)
      #expect(state.taken == out.count && state.pending == 0)
    }
  }
}

@Suite(.needsKVM) struct PoolTests {
  private static func settled(_ pool: SandboxPool, _ condition: (SandboxPool.Statistics) -> Bool) {
    while !condition(pool.statistics) { sched_yield() }
  }

  @Test func aTenantKeepsItsStateAndNobodyElseSeesIt() throws {
    let pool = try SandboxPool(template: Support.template.get(), warm: 1, maximum: 2)
    var own = try pool.take(tenant: 1)
    #expect(try Support.u64(own.call(FunctionID.counter)) == [1])
    pool.give(own, tenant: 1)
    for tenant in 2..<20 as Range<Int64> {
      var other = try pool.take(tenant: tenant)
      #expect(try Support.u64(other.call(FunctionID.counter)) == [1])
      pool.give(other, tenant: tenant)
    }
    pool.close()
    #expect(pool.statistics.warm == 0 && pool.statistics.idle == 0 && pool.statistics.taken == 0)
  }

  @Test func theSameTenantFindsWhatItLeft() throws {
    let pool = try SandboxPool(template: Support.template.get(), warm: 0, maximum: 2)
    for expected in 1...3 as ClosedRange<UInt64> {
      var own = try pool.take(tenant: 1)
      #expect(try Support.u64(own.call(FunctionID.counter)) == [expected])
      pool.give(own, tenant: 1)
    }
    var fresh = try pool.take(tenant: 1, fresh: true)
    #expect(try Support.u64(fresh.call(FunctionID.counter)) == [1])
    pool.give(fresh, tenant: 1)
  }

  @Test func aPoisonedSandboxIsReplacedInTheBackground() throws {
    let pool = try SandboxPool(template: Support.template.get(), warm: 2, maximum: 2)
    Self.settled(pool) { $0.warm == 2 }
    var sandbox = try pool.take(tenant: 1)
    _ = try? sandbox.call(FunctionID.fault, [0])
    let id = sandbox.id
    pool.give(sandbox, tenant: 1)
    Self.settled(pool) { $0.warm == 2 }
    #expect(pool.statistics.replaced == 1)
    let next = try pool.take(tenant: 1)
    #expect(next.id != id)
    pool.give(next, tenant: 1)
  }

  @Test func moreThanTheMaximumIsRefused() throws {
    let pool = try SandboxPool(template: Support.template.get(), warm: 0, maximum: 1)
    let one = try pool.take(tenant: 1)
    #expect(Support.code { _ = try pool.take(tenant: 2) } == .system(errno: EAGAIN))
    pool.give(one, tenant: 1)
    let two = try pool.take(tenant: 2)
    pool.give(two, tenant: 2)
    #expect(pool.statistics.restored == 1)
  }

  @Test func absurdNumbersAreRefused() throws {
    let template = try Support.template.get()
    #expect(
      Support.code { _ = try SandboxPool(template: template, warm: 3, maximum: 2) } == .configurationInvalid)
    #expect(
      Support.code { _ = try SandboxPool(template: template, warm: -1, maximum: 2) } == .configurationInvalid)
    #expect(
      Support.code { _ = try SandboxPool(template: template, warm: 0, maximum: 0) } == .configurationInvalid)
  }

  @Test func aGuestThatDoesNotStartIsReportedAndNotTriedInALoop() throws {
    // Its first instruction is an invalid one.
    let working = try GuestImage.builtIn().elf
    var bytes = working.bytes
    let entry = try #require(working.loaded(at: working.entry, count: 2)).startIndex
    bytes.replaceSubrange(entry..<(entry + 2), with: [0x0f, 0x0b])
    let template = try SandboxTemplate(kvm: try GuestImage(bytes))
    let pool = try SandboxPool(template: template, warm: 1, maximum: 1)
    Self.settled(pool) { $0.failures >= 1 }
    #expect(pool.statistics.lastFailure?.code == .imageInvalid)
    #expect(pool.statistics.created == 0)
    pool.close()
    #expect(pool.statistics.failures <= 8)
  }

  @Test func manyThreadsTakeAndGive() throws {
    let pool = try SandboxPool(template: Support.template.get(), warm: 2, maximum: 6)
    let wrong = Mutex<[String]>([])
    Threads(4) { number in
      for round in 0..<(Machine.isLong ? 2_000 : 60) {
        let tenant = Int64((number + round) % 3)
        do throws(MachineError) {
          var sandbox = try pool.take(tenant: tenant)
          if round % 7 == 0 {
            _ = try? sandbox.call(FunctionID.fault, [0])
          } else {
            _ = try sandbox.call(FunctionID.echo, [1])
          }
          pool.give(sandbox, tenant: tenant)
        } catch {
          wrong.withLock { $0.append("\(error)") }
        }
      }
    }.join()
    #expect(wrong.withLock { $0 } == [])
    #expect(pool.statistics.taken == 0)
    pool.close()
  }
}
