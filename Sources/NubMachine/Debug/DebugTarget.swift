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

  private enum State: Equatable {
    case idle
    case held
    case running
    case stopped
    case gone
  }

  let machine: VirtualMachine
  private let handle: InterruptHandle
  private let condition = NSCondition()
  private var state = State.idle
  private var wantsStop = false
  private var wantsKill = false
  private var isStepping = false
  private var news: Stop?
  /// A debugger is connected.
  private var isConnected = false
  /// Where the debugger's thread is told of news; -1 while there is none.
  private var bell: Int32 = -1

  /// The registers at a stop, kept until the guest goes on.
  private var registers: CoreRegisters?
  private var exception: ProcessorException?
  private var isChanged = false
  /// The bytes that breakpoints stand for.
  private var breakpoints: [UInt64: UInt8] = [:]
  private let userCode: kvm_segment
  private let userStack: kvm_segment

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

  private func locked<Value>(_ body: () throws(MachineError) -> Value) throws(MachineError) -> Value {
    condition.lock()
    defer { condition.unlock() }
    return try body()
  }

  private func locked<Value>(_ body: () -> Value) -> Value {
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
    for (address, byte) in breakpoints { _ = patch(address, byte) }
    breakpoints = [:]
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

  // MARK: Registers and memory, while the guest is at rest

  func readRegisters() throws(MachineError) -> CoreRegisters {
    try locked { () throws(MachineError) in
      var current = try currentRegisters()
      // The debugger's own doing.
      current.general.rflags &= ~trapFlag
      return current
    }
  }

  func change(_ body: (inout CoreRegisters) -> Bool) throws(MachineError) -> Bool {
    try locked { () throws(MachineError) in
      guard state == .held || state == .stopped else { return false }
      var current = try currentRegisters()
      guard body(&current) else { return false }
      registers = current
      isChanged = true
      return true
    }
  }

  private func currentRegisters() throws(MachineError) -> CoreRegisters {
    if let registers { return registers }
    let fresh = try machine.coreRegisters(exception)
    registers = fresh
    return fresh
  }

  private var trapFlag: UInt64 { 1 << 8 }

  /// Puts the vCPU where the debugger left it: at ring 3, which it left for a stub, with the trap flag as the step wants it.
  private func settle() throws(MachineError) {
    let current = try currentRegisters()
    try machine.completePendingExit()
    var special = kvm_sregs()
    try VirtualMachine.check(unsafe nub_kvm_get_sregs(machine.descriptor, &special), "KVM_GET_SREGS")
    if special.ss.dpl != 3 {
      special.cs = userCode
      special.ss = userStack
      try VirtualMachine.check(unsafe nub_kvm_set_sregs(machine.descriptor, &special), "KVM_SET_SREGS")
    }
    var general = kvm_regs(current.general)
    general.rflags = isStepping ? general.rflags | trapFlag : general.rflags & ~trapFlag
    try VirtualMachine.check(unsafe nub_kvm_set_regs(machine.descriptor, &general), "KVM_SET_REGS")
    if isChanged {
      var state = kvm_xsave()
      unsafe withUnsafeMutableBytes(of: &state) { unsafe $0.copyBytes(from: current.extended.prefix(4096)) }
      try VirtualMachine.check(unsafe nub_kvm_set_xsave(machine.descriptor, &state), "KVM_SET_XSAVE")
    }
    isChanged = false
    exception = nil
  }

  /// Guest memory as the guest's own code sees it, breakpoints left out. As much as there is from `address` on.
  func readMemory(_ address: UInt64, _ count: UInt64) -> [UInt8] {
    locked {
      guard state == .held || state == .stopped else { return [] }
      var bytes: [UInt8] = []
      while UInt64(bytes.count) < count {
        let start = address &+ UInt64(bytes.count)
        let page = min(count - UInt64(bytes.count), MemoryMap.pageSize - start % MemoryMap.pageSize)
        guard let view = unsafe machine.guestBytes(at: start, count: page) else { break }
        unsafe bytes.append(contentsOf: view)
      }
      for (place, byte) in breakpoints where place >= address && place - address < UInt64(bytes.count) {
        bytes[Int(place - address)] = byte
      }
      return bytes
    }
  }

  /// Changes guest memory, code included. False where part of it is not mapped.
  func writeMemory(_ address: UInt64, _ bytes: [UInt8]) -> Bool {
    locked {
      guard state == .held || state == .stopped,
        machine.template.space.locate(address, count: UInt64(bytes.count)) != nil
      else { return false }
      for (index, byte) in bytes.enumerated() {
        let place = address + UInt64(index)
        if breakpoints[place] != nil {
          breakpoints[place] = byte
        } else if !patch(place, byte) {
          return false
        }
      }
      return true
    }
  }

  func insertBreakpoint(_ address: UInt64) -> Bool {
    locked {
      guard state == .held || state == .stopped else { return false }
      if breakpoints[address] != nil { return true }
      guard let place = machine.template.space.locate(address, count: 1), place.mapping.isExecutable,
        let byte = unsafe machine.guestBytes(at: address, count: 1)?.first, patch(address, 0xcc)
      else { return false }
      breakpoints[address] = byte
      return true
    }
  }

  func removeBreakpoint(_ address: UInt64) -> Bool {
    locked {
      guard state == .held || state == .stopped else { return false }
      guard let byte = breakpoints.removeValue(forKey: address) else { return true }
      return patch(address, byte)
    }
  }

  private func patch(_ address: UInt64, _ byte: UInt8) -> Bool {
    guard let place = machine.template.space.locate(address, count: 1),
      let view = unsafe machine.view(of: place.mapping)
    else { return false }
    unsafe view[Int(address - place.mapping.virtual)] = byte
    if place.slot == .guest {
      let page = UInt32(place.offset / MemoryMap.pageSize)
      machine.debuggerWrites.withLock { _ = $0.insert(page) }
    }
    return true
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

extension kvm_regs {
  init(_ general: GeneralRegisters) {
    self.init()
    rax = general.rax
    rbx = general.rbx
    rcx = general.rcx
    rdx = general.rdx
    rsi = general.rsi
    rdi = general.rdi
    rbp = general.rbp
    rsp = general.rsp
    r8 = general.r8
    r9 = general.r9
    r10 = general.r10
    r11 = general.r11
    r12 = general.r12
    r13 = general.r13
    r14 = general.r14
    r15 = general.r15
    rip = general.rip
    rflags = general.rflags
  }
}
