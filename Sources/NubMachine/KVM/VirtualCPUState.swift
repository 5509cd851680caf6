import CKVM
import NubABI

/// The machine state that the host builds before the first KVM_RUN, so that the guest has no boot code: long mode,
/// paging, CPL 3, at the image's entry point.
enum VirtualCPUState {
  // Control register bits, Intel SDM vol. 3, 2.5; EFER, 2.2.1.
  private static let cr0: UInt64 = 1 << 31 | 1 << 16 | 1 << 5 | 1 << 4 | 1 << 1 | 1  // PG WP NE ET MP PE
  private static let cr4: UInt64 = 1 << 5 | 1 << 9 | 1 << 10  // PAE OSFXSR OSXMMEXCPT
  private static let cr4UMIP: UInt64 = 1 << 11
  private static let efer: UInt64 = 1 << 8 | 1 << 10 | 1 << 11  // LME LMA NXE, and SCE clear

  // MSRs, Intel SDM vol. 4, chapter 2.
  private static let msrSysenterCS: UInt32 = 0x174
  private static let msrSysenterESP: UInt32 = 0x175
  private static let msrSysenterEIP: UInt32 = 0x176
  private static let msrSTAR: UInt32 = 0xc000_0081
  private static let msrLSTAR: UInt32 = 0xc000_0082
  private static let msrCSTAR: UInt32 = 0xc000_0083
  private static let msrFMASK: UInt32 = 0xc000_0084

  static func apply(to vcpu: borrowing FileDescriptor, template: MachineTemplate) throws(MachineError) {
    try unsafe template.device.cpuid.withUnsafeBufferPointer { (entries) throws(MachineError) in
      let result = unsafe nub_kvm_set_cpuid(vcpu.number, entries.baseAddress, UInt32(entries.count))
      guard result >= 0 else { throw .system("KVM_SET_CPUID2", result) }
    }
    try setSpecialRegisters(of: vcpu, template: template)
    var registers = kvm_regs()
    registers.rip = template.image.entry
    // As if the entry had been called: the stack is 16-byte aligned before the return address (System V ABI, 3.2.2).
    registers.rsp = MemoryMap.stackTop - 8
    registers.rflags = 2
    let result = unsafe nub_kvm_set_regs(vcpu.number, &registers)
    guard result >= 0 else { throw .system("KVM_SET_REGS", result) }
    try setSystemCallRegisters(of: vcpu)
  }

  private static func setSpecialRegisters(
    of vcpu: borrowing FileDescriptor, template: MachineTemplate
  ) throws(MachineError) {
    var special = kvm_sregs()
    var result = unsafe nub_kvm_get_sregs(vcpu.number, &special)
    guard result >= 0 else { throw .system("KVM_GET_SREGS", result) }
    special.cr0 = cr0
    special.cr3 = template.pageTableRoot
    special.cr4 = cr4
    if GuestCPUID.offersUMIP(template.device.cpuid) { special.cr4 |= cr4UMIP }
    special.efer = efer
    special.cs = segment(DescriptorTables.userCode, type: 11, privilege: 3, isCode: true)
    let data = segment(DescriptorTables.userData, type: 3, privilege: 3, isCode: false)
    special.ds = data
    special.es = data
    special.ss = data
    special.fs = data
    special.gs = data
    special.gdt.base = AddressSpace.descriptors + UInt64(DescriptorTables.gdtOffset)
    special.gdt.limit = DescriptorTables.gdtLimit
    special.idt.base = AddressSpace.descriptors + UInt64(DescriptorTables.idtOffset)
    special.idt.limit = DescriptorTables.idtLimit
    special.tr = kvm_segment()
    special.tr.base = AddressSpace.descriptors + UInt64(DescriptorTables.tssOffset)
    special.tr.limit = DescriptorTables.tssLimit
    special.tr.selector = DescriptorTables.taskState
    special.tr.type = 11  // busy 64-bit TSS
    special.tr.present = 1
    special.ldt = kvm_segment()
    special.ldt.unusable = 1
    result = unsafe nub_kvm_set_sregs(vcpu.number, &special)
    guard result >= 0 else { throw .system("KVM_SET_SREGS", result) }
  }

  private static func segment(_ selector: UInt16, type: UInt8, privilege: UInt8, isCode: Bool) -> kvm_segment
  {
    var segment = kvm_segment()
    segment.limit = 0xffff_ffff
    segment.selector = selector
    segment.type = type
    segment.present = 1
    segment.dpl = privilege
    segment.db = isCode ? 0 : 1
    segment.s = 1
    segment.l = isCode ? 1 : 0
    segment.g = 1
    return segment
  }

  /// `syscall` is #UD with EFER.SCE clear; a hypervisor that ignores SCE jumps to LSTAR, which is a page that ring 3
  /// cannot execute, with every flag masked. `sysenter` is #GP with a null CS (Intel SDM vol. 2B).
  private static func setSystemCallRegisters(of vcpu: borrowing FileDescriptor) throws(MachineError) {
    let trap = AddressSpace.descriptors
    let registers: [(UInt32, UInt64)] = [
      (msrSysenterCS, 0), (msrSysenterESP, 0), (msrSysenterEIP, 0), (msrSTAR, 0), (msrLSTAR, trap),
      (msrCSTAR, trap),
      (msrFMASK, 0xffff_ffff),
    ]
    let result = unsafe nub_kvm_set_msrs(
      vcpu.number, registers.map(\.0), registers.map(\.1), UInt32(registers.count))
    guard result == Int32(registers.count) else {
      throw result < 0
        ? .system("KVM_SET_MSRS", result)
        : MachineError(.kvmUnavailable, "KVM refused MSR \(hexadecimal(UInt64(registers[Int(result)].0)))")
    }
  }
}
