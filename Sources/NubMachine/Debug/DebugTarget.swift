import CKVM
import Foundation
import NubABI
import Synchronization

/// A sandbox under a debugger: who may touch its machine, its breakpoints, and how it stops and goes on.
///
/// The sandbox's thread runs the guest; the debugger's thread reads and writes registers and memory, and only while the
/// guest is at rest:
///
/// - *idle*: no call is under way. The debugger may hold the machine, and the next call then waits.
/// - *running*: the sandbox's thread has it.
/// - *stopped*: in the middle of a call. The sandbox's thread waits until the debugger lets it go on.
final class DebugTarget: @unchecked Sendable {
  // Sendable: what changes is changed under `condition` alone; the machine is touched by the one thread that the state
  // above names.

  enum Stop: Equatable {
    /// A breakpoint that the debugger has set; the instruction pointer is back at it.
    case breakpoint
    case step
    case interrupt
    /// An exception that the guest does not survive.
    case fault(signal: UInt8)
    /// The sandbox has been dropped.
    case gone
  }

  enum Resume: Equatable {
    case run
    /// The debugger has ended the guest.
    case kill
  }

  enum State: Equatable {
    case idle
    case held
    case running
    case stopped
    case gone
  }

  let machine: VirtualMachine
  private let handle: InterruptHandle
  private let condition = NSCondition()
  private(set) var state = State.idle
  private var wantsStop = false
  private var wantsKill = false
  private(set) var isStepping = false
  private var news: Stop?
  /// A debugger is connected.
  private var isConnected = false
  /// Where the debugger's thread is told of news; -1 while there is none.
  private var bell: Int32 = -1

  /// The registers at a stop, kept until the guest goes on.
  var registers: CoreRegisters?
  var exception: ProcessorException?
  var isChanged = false
  /// The bytes that breakpoints stand for.
  var breakpoints: [UInt64: UInt8] = [:]
  /// What the debugger has changed outside the guest's own pages, as it was before, for a restore.
  var originalBytes: [UInt64: UInt8] = [:]
  let userCode: kvm_segment
  let userStack: kvm_segment

  /// - Parameter machine: at rest, at ring 3, as it is after its start.
  init(_ machine: VirtualMachine, _ handle: InterruptHandle) throws(MachineError) {
    self.machine = machine
    self.handle = handle
    var special = kvm_sregs()
    try VirtualMachine.check(unsafe nub_kvm_get_sregs(machine.descriptor, &special), "KVM_GET_SREGS")
    guard special.ss.dpl == 3 else {
      throw MachineError(
        .poisoned, "a debugger can be attached while the guest is in service, not after a fault")
    }
    userCode = special.cs
    userStack = special.ss
  }

  func locked<Value>(_ body: () throws(MachineError) -> Value) throws(MachineError) -> Value {
    condition.lock()
    defer { condition.unlock() }
    return try body()
  }

  func locked<Value>(_ body: () -> Value) -> Value {
    condition.lock()
    defer { condition.unlock() }
    return body()
  }

  // MARK: The sandbox's thread

  /// Before the guest is entered for a call, or its state is set back. Waits while the debugger holds the machine.
  func willUse() {
    locked {
      while state == .held { condition.wait() }
      state = .running
    }
  }

  /// The call is over.
  func didUse() {
    locked {
      state = wantsStop ? .held : .idle
      if wantsStop { tell(.interrupt) }
    }
  }

  /// True where the debugger wants the running guest to stop.
  var stopIsWanted: Bool { locked { wantsStop } }

  /// The guest has been stopped by Ctrl-C. Returns when it may go on.
  func interrupted() -> Resume { stop(.interrupt, nil) }

  /// An exception was reported. Nil where the guest goes on, or how the debugger judged an exception that it does not
  /// survive.
  func excepted(_ vector: Int) -> Resume? {
    guard locked({ isConnected }), let exception = machine.exception(vector: vector) else { return .run }
    switch vector {
    case 1: return stop(.step, exception) == .kill ? .kill : nil
    case 3:
      var exception = exception
      // The processor is behind the one-byte instruction.
      let isOurs = locked { breakpoints[exception.instructionPointer &- 1] != nil }
      if isOurs { exception.registers.rip &-= 1 }
      return stop(isOurs ? .breakpoint : .step, exception) == .kill ? .kill : nil
    default: return stop(.fault(signal: exception.debuggerSignal), exception)
    }
  }

  private func stop(_ why: Stop, _ exception: ProcessorException?) -> Resume {
    condition.lock()
    defer { condition.unlock() }
    self.exception = exception
    registers = nil
    state = .stopped
    wantsStop = false
    tell(why)
    while state == .stopped, isConnected {
      // Somebody may want the call to end while nobody lets it go on.
      let asked = handle.current()
      if asked.has(.cancel) { break }
      _ = condition.wait(until: Date(timeIntervalSinceNow: 0.1))
    }
    state = .running
    registers = nil
    self.exception = nil
    defer { wantsKill = false }
    return wantsKill ? .kill : .run
  }

  /// The sandbox is dropped.
  func sandboxIsGone() {
    locked {
      state = .gone
      tell(.gone)
      condition.broadcast()
    }
  }

  // MARK: The debugger's thread

  /// A debugger connects: the guest stops as soon as it can. False where one is connected already.
  func connect(bell: Int32) -> Bool {
    let isFree = locked {
      guard !isConnected, state != .gone else { return false }
      isConnected = true
      self.bell = bell
      return true
    }
    if isFree { requestStop() }
    return isFree
  }

  /// The debugger leaves: breakpoints go, the guest goes on.
  func disconnect() {
    condition.lock()
    defer { condition.unlock() }
    removeBreakpoints()
    isStepping = false
    if state == .held || state == .stopped, !hasFault { try? settle() }
    wantsStop = false
    isConnected = false
    bell = -1
    news = nil
    if state == .held { state = .idle }
    condition.broadcast()
  }

  /// Ctrl-C, and what happens on connecting.
  func requestStop() {
    let isRunning = locked {
      switch state {
      case .idle:
        state = .held
        tell(.interrupt)
        return false
      case .running:
        wantsStop = true
        return true
      case .held, .stopped, .gone: return false
      }
    }
    // Where the call ends at this moment, didUse() sees the wish.
    if isRunning { _ = handle.request(.tick, ofCall: nil) }
  }

  /// True when the sandbox has been dropped.
  var isGone: Bool { locked { state == .gone } }

  /// True while a debugger holds a guest that is between calls.
  var isHeld: Bool { locked { state == .held } }

  /// True while a call is under way and the debugger has let it go on.
  var isRunning: Bool { locked { state == .running && isConnected && !wantsStop } }

  /// Why the guest has stopped, once for each stop.
  func takeNews() -> Stop? {
    locked {
      defer { news = nil }
      return news
    }
  }

  /// Lets the guest go on. Where no call is under way, it does so with the next one.
  func resume(step: Bool) throws(MachineError) {
    try locked { () throws(MachineError) in
      isStepping = step
      isChanged = true
      if state == .held || state == .stopped { if !hasFault { try settle() } }
      registers = nil
      if state == .held { state = .idle }
      if state == .stopped { state = .running }
      condition.broadcast()
    }
  }

  func kill() {
    locked {
      wantsKill = true
      if state == .held { state = .idle }
      if state == .stopped { state = .running }
      condition.broadcast()
    }
  }

  private var hasFault: Bool {
    guard let exception else { return false }
    return exception.vector != 1 && exception.vector != 3
  }

  private func tell(_ stop: Stop) {
    news = stop
    guard bell >= 0 else { return }
    var ring: UInt8 = 1
    // A full pipe has rung already.
    _ = unsafe write(bell, &ring, 1)
  }
}

/// Ends a target with its sandbox.
struct DebugAttachment: ~Copyable {
  let target: DebugTarget
  deinit { target.sandboxIsGone() }
}

extension ProcessorException {
  /// GDB's own numbers for signals (include/gdb/signals.def).
  var debuggerSignal: UInt8 {
    switch vector {
    case 0, 16, 19: 8
    case 1, 3: 5
    case 6, 7: 4
    case 17: 10
    default: 11
    }
  }
}
