import CKVM
import CNubABI
import Foundation
import NubABI
import Synchronization
import Testing

@testable import NubMachine

/// The signal that interrupts vCPUs. What is chosen once for a process is tested in processes of its own.
@Suite(.needsKVM) struct SignalTests {
  @Test func aSignalThatTheApplicationHandlesIsLeftToIt() async {
    await #expect(processExitsWith: .success) {
      // The first two real-time signals are the application's.
      let first = nub_kvm_first_realtime_signal()
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in SignalCount.seen.wrappingAdd(1, ordering: .relaxed) }
      sigaction(first, &action, nil)
      sigaction(first + 1, &action, nil)
      let template = try SandboxTemplate(kvm: try GuestImage.builtIn())
      guard case .kvm(let machine) = template.kind else { exit(2) }
      var sandbox = try template.makeSandbox()
      let handle = sandbox.interruptHandle
      let killer = Threads(1) { _ in
        while handle.interrupt() == .notRunning { sched_yield() }
      }
      let code = Support.code { _ = try sandbox.call(FunctionID.spin, InterruptTests.forever) }
      killer.join()
      // Threads of a pool block every signal.
      var own = sigset_t()
      sigemptyset(&own)
      sigaddset(&own, first)
      sigaddset(&own, first + 1)
      pthread_sigmask(SIG_UNBLOCK, &own, nil)
      raise(first)
      raise(first + 1)
      // The first two are skipped, whoever has the ones behind them.
      guard machine.interruptSignal > first + 1 else { exit(3) }
      guard code == .cancelled else { exit(4) }
      exit(SignalCount.seen.load(ordering: .relaxed) == 2 ? 0 : 5)
    }
  }

  @Test func theSignalCanBeChosenOnceForAProcess() async {
    await #expect(processExitsWith: .success) {
      let image = try GuestImage.builtIn()
      func make(_ signal: Int32?) -> MachineError.Code? {
        Support.code { _ = try SandboxTemplate(kvm: image, interruptSignal: signal) }
      }
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { _ in }
      sigaction(SIGUSR2, &action, nil)
      // Taken by the application; not to be handled by anybody; free.
      let refused = [make(SIGUSR2), make(SIGKILL)]
      let chosen = make(SIGUSR1)
      // The same again, whatever there is, and another one.
      let again = [make(SIGUSR1), make(nil)]
      let another = make(nub_kvm_last_realtime_signal())
      let isRight =
        refused == [.configurationInvalid, .system(errno: EINVAL)] && chosen == nil && again == [nil, nil]
        && another == .configurationInvalid
      var sandbox = try SandboxTemplate(kvm: image).makeSandbox()
      let code = Support.code {
        _ = try sandbox.call(FunctionID.spin, InterruptTests.forever, deadline: .milliseconds(5))
      }
      // The application takes it after all: that is said, and not found out by kills that get lost.
      sigaction(SIGUSR1, &action, nil)
      exit(isRight && code == .deadlineExceeded && make(nil) == .configurationInvalid ? 0 : 1)
    }
  }

  @Test func aThreadThatBlocksEverySignalIsInterruptedAllTheSame() throws {
    let sandbox = Mutex<Sandbox?>(try Support.sandbox())
    let code = Mutex<MachineError.Code?>(nil)
    Threads(1) { _ in
      var all = sigset_t()
      sigfillset(&all)
      pthread_sigmask(SIG_BLOCK, &all, nil)
      guard var sandbox = sandbox.withLock({ $0.take() }) else { return }
      let seen = Support.code {
        _ = try sandbox.call(FunctionID.spin, InterruptTests.forever, deadline: .milliseconds(5))
      }
      code.withLock { $0 = seen }
    }.join()
    #expect(code.withLock { $0 } == .deadlineExceeded)
  }

  /// Timing point 4: a signal between the check and the entry makes the entry return at once.
  @Test func timingPoint4ASignalBetweenTheCheckAndTheEntryIsNotLost() throws {
    let sandbox = try Support.sandbox()
    guard case .machine(let machine) = sandbox.body else { return }
    machine.arm()
    defer { machine.disarm() }
    let signal = machine.template.interruptSignal
    #expect(nub_kvm_signal_thread(nub_kvm_thread_id(), signal) == 0)
    // The guest waits for a batch behind its first doorbell. Had it been entered, it would ring for an empty one.
    #expect(machine.enter() == .interrupted)
    #expect(machine.enter() == .doorbell)
    // Timing point 2 is over: a late signal is for no vCPU.
    machine.disarm()
    #expect(nub_kvm_signal_thread(nub_kvm_thread_id(), signal) == 0)
    machine.arm()
    #expect(machine.enter() == .doorbell)
  }

  /// Real-time signals queue. While the thread blocks this one, all that are sent to it can be counted.
  @Test func manyKillsOfOneCallAreOneSignal() {
    let signal = nub_kvm_last_realtime_signal()
    let counts = Mutex<[Int]>([])
    Threads(1) { _ in
      var blocked = sigset_t()
      sigemptyset(&blocked)
      sigaddset(&blocked, signal)
      pthread_sigmask(SIG_BLOCK, &blocked, nil)
      func pending() -> Int {
        var count = 0
        var now = timespec()
        while sigtimedwait(&blocked, nil, &now) == signal { count += 1 }
        return count
      }
      func killed(_ handle: InterruptHandle) -> Int {
        let requested = Atomic(0)
        Threads(8) { _ in
          for _ in 0..<100 where handle.interrupt() == .requested { requested.add(1, ordering: .relaxed) }
        }.join()
        return requested.load(ordering: .relaxed)
      }
      let handle = InterruptHandle(signal: signal)
      // No call, a call, none again, and the next one.
      var seen = [killed(handle), pending()]
      for _ in 0..<2 {
        _ = handle.begin()
        seen += [killed(handle), pending()]
        handle.end()
        seen += [killed(handle), pending()]
      }
      counts.withLock { $0 = seen }
    }.join()
    #expect(counts.withLock { $0 } == [0, 0, 800, 1, 0, 0, 800, 1, 0, 0])
  }

  /// Timing point 2: what was asked before the entry is seen before it.
  @Test func timingPoint2AKillBeforeTheEntryKeepsTheGuestFromRunning() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let handle = sandbox.interruptHandle
    let entries = Atomic(0)
    sandbox.hostFunctions.register(900, name: "kill") { _ in
      entries.wrappingAdd(1, ordering: .relaxed)
      handle.interrupt()
      return []
    }
    let code = Support.code { _ = try sandbox.call(HostileGuest.hostCall, HostileGuest.words(900, 0, 0)) }
    #expect(code == .cancelled && entries.load(ordering: .relaxed) == 1)
    // Nothing was published behind the host call.
    #expect(sandbox.areas.control.pointee.published == 0)
  }

  @Test func staleSignalsCancelNoInnocentCall() throws {
    var sandbox = try Support.sandbox()
    guard case .machine(let machine) = sandbox.body else { return }
    let signal = machine.template.interruptSignal
    let thread = nub_kvm_thread_id()
    // As many as there are, not as fast as they can be: a guest that is interrupted before each instruction gets nowhere.
    let round = Atomic(0)
    let sender = Threads(1) { _ in
      for number in 1...1000 {
        while round.load(ordering: .acquiring) < number { sched_yield() }
        for _ in 0..<(number % 4) { _ = nub_kvm_signal_thread(thread, signal) }
      }
    }
    for number in 1...1000 {
      round.store(number, ordering: .releasing)
      let payload = Support.bytes(of: UInt64(number))
      #expect(try sandbox.call(FunctionID.echo, payload) == payload)
    }
    sender.join()
  }

  @Test func aThreadThatHasEndedIsNeverSignalled() throws {
    let first = try Support.sandbox()
    let handle = first.interruptHandle
    let sandbox = Locked(SandboxBox(first))
    let running = Atomic<Bool>(true)
    // Kills all the time, while the call's thread ends and after it has ended.
    let outcomes = Mutex<Set<String>>([])
    let killer = Threads(2) { _ in
      while running.load(ordering: .acquiring) {
        let outcome = "\(handle.interrupt())"
        outcomes.withLock { _ = $0.insert(outcome) }
      }
    }
    for _ in 0..<50 {
      Threads(1) { _ in
        guard var own = sandbox.withLock({ $0 }).open() else { return }
        _ = try? own.call(FunctionID.spin, Support.bytes(of: UInt64(50)))
        if own.isPoisoned { try? own.restore() }
        let back = SandboxBox(own)
        sandbox.withLock { $0 = back }
      }.join()
      #expect(!handle.isRunning)
      #expect(handle.interrupt() == .notRunning)
    }
    running.store(false, ordering: .releasing)
    killer.join()
  }

  @Test func theTimingPointsHaveTheSameNumbersInCodeDocumentationAndTests() throws {
    let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
    let code = try String(
      contentsOf: root.appending(path: "Sources/NubMachine/Interrupt/InterruptState.swift"), encoding: .utf8)
    let guide = try String(contentsOf: root.appending(path: "docs/architecture.md"), encoding: .utf8)
    var tests = ""
    for name in ["InterruptStateTests", "SignalTests"] {
      tests += try String(
        contentsOf: root.appending(path: "Tests/NubMachineTests/\(name).swift"), encoding: .utf8)
    }
    for point in 1...6 {
      #expect(code.contains("/// \(point). "))
      #expect(guide.contains("\n| \(point) | "))
      #expect(tests.contains("func timingPoint\(point)"))
    }
  }
}

private enum SignalCount {
  static let seen = Atomic(0)
}
