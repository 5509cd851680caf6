import CKVM
import NubABI

/// Registers, while the guest is at rest. What is not marked otherwise is for the debugger's thread.
extension DebugTarget {
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
  func settle() throws(MachineError) {
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
