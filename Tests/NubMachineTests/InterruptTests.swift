import CNubABI
import Foundation
import NubABI
import Synchronization
import Testing

@testable import NubMachine

@Suite(.needsKVM) struct InterruptTests {
  static let forever = Support.bytes(of: UInt64(0))

  @Test func aKillInAdvanceHasNoEffect() throws {
    var sandbox = try Support.sandbox()
    #expect(sandbox.interruptHandle.interrupt() == .notRunning)
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test func aKillAfterTheReturnHasNoEffect() throws {
    var sandbox = try Support.sandbox()
    _ = try sandbox.call(FunctionID.echo, [1])
    #expect(sandbox.interruptHandle.interrupt() == .notRunning)
    #expect(try sandbox.call(FunctionID.echo, [2]) == [2])
  }

  @Test func aKillEndsAnEndlessCall() throws {
    var sandbox = try Support.sandbox()
    let handle = sandbox.interruptHandle
    let killer = Threads(1) { _ in
      while handle.interrupt() == .notRunning { sched_yield() }
    }
    #expect(Support.code { _ = try sandbox.call(FunctionID.spin, Self.forever) } == .cancelled)
    killer.join()
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
    try sandbox.restore()
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test func aKillEndsACallOnAMovedSandbox() throws {
    let sandbox = try Support.sandbox()
    let handle = sandbox.interruptHandle
    let box = Mutex<Sandbox?>(sandbox)
    let code = Mutex<MachineError.Code?>(nil)
    let runner = Threads(1) { _ in
      guard var moved = box.withLock({ $0.take() }) else { return }
      let seen = Support.code { _ = try moved.call(FunctionID.spin, Self.forever) }
      code.withLock { $0 = seen }
    }
    while handle.interrupt() == .notRunning { sched_yield() }
    runner.join()
    #expect(code.withLock { $0 } == .cancelled)
  }

  @Test func aKillOfADroppedSandboxDoesNothing() throws {
    let handle: InterruptHandle
    do {
      var sandbox = try Support.sandbox()
      handle = sandbox.interruptHandle
      _ = try sandbox.call(FunctionID.echo, [])
    }
    #expect(handle.interrupt() == .notRunning)
  }

  @Test func aKillDuringAHostFunctionIsSeenByItAndTheGuestIsNotEnteredAgain() throws {
    let seen = Mutex<[Bool]>([])
    var functions = HostFunctions()
    functions.register(900, name: "kill_me") { call in
      let before = call.isCancelled
      // From another thread, as a worker would; this one is inside the call.
      Threads(1) { _ in _ = call.handle.interrupt() }.join()
      seen.withLock { $0 = [before, call.isCancelled] }
      return []
    }
    var sandbox = try HostileGuest.template(SandboxConfiguration(), functions).makeSandbox()
    let results = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], nil), (HostileGuest.hostCall, HostileGuest.words(900, 0, 0), nil),
        (FunctionID.echo, [2], nil),
      ])
    #expect(seen.withLock { $0 } == [false, true])
    #expect(results[0].bytes == [1])
    guard case .failed(let error) = results[1], error.code == .cancelled, case .notRun = results[2] else {
      Issue.record("\(results)")
      return
    }
  }

  @Test func aKillBehindTheLastResultLeavesTheResult() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let handle = sandbox.interruptHandle
    let areas = sandbox.areas
    let killer = Threads(1) { _ in
      // The guest publishes and stays in the VM, so the kill comes after the result.
      while areas.control.pointee.published != 1 || !handle.isRunning { sched_yield() }
      _ = handle.interrupt()
    }
    let results = Support.batch(&sandbox, [(HostileGuest.publishAndStay, HostileGuest.words(1), nil)])
    killer.join()
    #expect(results.count == 1)
    #expect(results[0].bytes == [])
    // It did not ring, so it is not trusted any more.
    #expect(sandbox.poison?.code == .protocolViolation)
  }

  @Test func aFaultBehindTheLastResultFailsNobodysCall() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let results = Support.batch(&sandbox, [(HostileGuest.publishAndFault, [], nil)])
    #expect(results.count == 1)
    #expect(results[0].bytes == [])
    guard case .fault? = sandbox.poison?.code else {
      Issue.record("poison: \(String(describing: sandbox.poison))")
      return
    }
  }

  @Test func aGuestThatPublishesEverythingAndStaysLosesTheSandbox() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let results = Support.batch(
      &sandbox,
      [
        (HostileGuest.publishAndStay, HostileGuest.words(3), nil), (FunctionID.echo, [], nil),
        (FunctionID.echo, [], nil),
      ])
    #expect(results.map(\.bytes) == [[], [], []])
    #expect(sandbox.poison?.code == .protocolViolation)
  }

  /// Threads call, others kill at random. Whether a thread's call may be killed is fixed, under a lock that killers hold
  /// while they kill, before the call begins.
  @Test func aCallThatNobodyKilledIsNeverCancelledAndAKillNeverHangs() throws {
    struct Victim: Sendable {
      var handle: InterruptHandle?
      var mayBeKilled = false
    }
    let threads = Machine.isLong ? 100 : 8
    let calls = Machine.isLong ? 500 : 60
    // A hundred sandboxes that start at once, beside threads that kill all the time, take their time to do so.
    var configuration = SandboxConfiguration()
    configuration.startTimeout = .seconds(600)
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
    let victims = (0..<threads).map { _ in Locked(Victim()) }
    let isOver = Atomic<Bool>(false)
    let wrong = Mutex<[String]>([])
    let killed = Atomic<Int>(0)

    let killers = Threads(4) { _ in
      var random = SystemRandomNumberGenerator()
      while !isOver.load(ordering: .acquiring) {
        let victim = victims[Int.random(in: 0..<threads, using: &random)]
        victim.withLock { victim in
          if victim.mayBeKilled { _ = victim.handle?.interrupt() }
        }
        sched_yield()
      }
    }
    let callers = Threads(threads) { number in
      do {
        var sandbox = try template.makeSandbox()
        var random = SystemRandomNumberGenerator()
        victims[number].withLock { $0.handle = sandbox.interruptHandle }
        for index in 0..<calls {
          let mayBeKilled = Bool.random(using: &random)
          victims[number].withLock { $0.mayBeKilled = mayBeKilled }
          // Endless only where a kill is sure to come, and not often where many threads wait for the same two killers.
          let isEndless = mayBeKilled && index % (Machine.isLong ? 50 : 8) == 0
          let microseconds: UInt64 = isEndless ? 0 : .random(in: 1...200, using: &random)
          do throws(MachineError) {
            _ = try sandbox.call(FunctionID.spin, Support.bytes(of: microseconds))
          } catch {
            if !mayBeKilled || error.code != .cancelled {
              wrong.withLock { $0.append("thread \(number) call \(index): \(error)") }
            }
            killed.wrappingAdd(1, ordering: .relaxed)
          }
          if sandbox.isPoisoned {
            victims[number].withLock { $0.mayBeKilled = false }
            try sandbox.restore()
          }
        }
        victims[number].withLock { $0.mayBeKilled = false }
      } catch {
        wrong.withLock { $0.append("thread \(number): \(error)") }
      }
    }
    callers.join()
    isOver.store(true, ordering: .releasing)
    killers.join()
    #expect(wrong.withLock { $0 } == [])
    #expect(killed.load(ordering: .relaxed) > 0)
  }

  @Test func eachCallOfABatchHasADeadlineOfItsOwn() throws {
    var sandbox = try Support.sandbox()
    // Longer together than one deadline.
    let half = Support.bytes(of: UInt64(500_000))
    let results = Support.batch(
      &sandbox, (0..<3).map { _ in (FunctionID.spin, half, Duration.milliseconds(1200)) })
    #expect(results.map(\.bytes) == [[], [], []])
  }

  @Test func aCallBehindALateOneIsNotRunAndOneBeforeItKeepsItsResult() throws {
    var sandbox = try Support.sandbox()
    let results = Support.batch(
      &sandbox,
      (0..<20).map { (FunctionID.echo, [UInt8($0)], Duration.seconds(60)) }
        + [(FunctionID.spin, Self.forever, .milliseconds(30))]
        + (0..<5).map { (FunctionID.echo, [UInt8($0)], Duration.seconds(60)) })
    #expect(results.prefix(20).map(\.bytes) == (0..<20).map { [UInt8($0)] })
    guard case .failed(let error) = results[20], error.code == .deadlineExceeded else {
      Issue.record("\(results[20])")
      return
    }
    for result in results[21...] {
      guard case .notRun = result else {
        Issue.record("\(result)")
        return
      }
    }
  }
}

/// Threads that a test starts and waits for.
final class Threads: Sendable {
  private let group = DispatchGroup()

  init(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    for index in 0..<count {
      group.enter()
      let thread = Thread { [group] in
        body(index)
        group.leave()
      }
      thread.start()
    }
  }

  func join() { group.wait() }
}

/// A value and its lock, in an object, so that arrays can hold it.
final class Locked<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    value.withLock { value in
      var copy = value
      let result = body(&copy)
      value = copy
      return result
    }
  }
}
