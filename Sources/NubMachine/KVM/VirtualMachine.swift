import CKVM
import CNubABI
import Glibc
import NubABI
import Synchronization

/// One KVM virtual machine with one vCPU, ready to run ring 3 from the image's entry point. Used by one thread at a time.
final class VirtualMachine: Sendable {
  /// Why KVM_RUN came back, as far as a guest of ours can cause it.
  enum Exit: Equatable {
    /// Ring 3 wrote the doorbell port.
    case doorbell
    /// An exception stub reports this vector.
    case exception(vector: Int)
    /// A signal, or `immediate_exit`.
    case interrupted
    /// Anything else: the guest, or the hypervisor, did what nub's guests do not do.
    case unexpected(String)
  }

  let template: MachineTemplate
  private let vm: FileDescriptor
  private let vcpu: FileDescriptor
  private let run: RunPage
  // The guest's memory. Declared after the descriptors and so destroyed in whatever order: KVM holds its own references.
  let shared: MappedMemory
  let tables: MappedMemory
  let hostArea: MappedMemory
  let guestArea: MappedMemory
  /// Pages of the guest slot that a debugger has written; KVM's dirty log does not see those.
  let debuggerWrites = Mutex<Set<UInt32>>([])

  init(_ template: MachineTemplate) throws(MachineError) {
    self.template = template
    let space = template.space
    shared = try template.mapShared()
    tables = try template.mapTables()
    hostArea = try MappedMemory(anonymous: Int(space.hostSize))
    guestArea = try MappedMemory(anonymous: Int(space.guestSize))
    vm = try FileDescriptor(nub_kvm_create_vm(template.device.descriptor.number), "KVM_CREATE_VM")
    if template.device.canDenyMSRs {
      // Ring 3 cannot reach an MSR anyway; this holds should a mistake of the hypervisor let it.
      let denied = nub_kvm_deny_msrs(vm.number)
      guard denied >= 0 else { throw .system("KVM_X86_SET_MSR_FILTER", denied) }
    }
    vcpu = try FileDescriptor(nub_kvm_create_vcpu(vm.number), "KVM_CREATE_VCPU")
    run = try RunPage(vcpu: vcpu.number, size: template.device.runSize)
    for mapping in space.mappings {
      guard case .imageWritable(let index) = mapping.region else { continue }
      unsafe MachineTemplate.load(
        template.image, template.image.segments[index],
        guestArea.bytes(at: mapping.offset, count: mapping.size))
    }
    try setSlots()
    try VirtualCPUState.apply(to: vcpu, template: template)
    run.synchronise(UInt64(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS))
  }

  /// Registers the memory with KVM, which records from the start which pages of the guest's own are written.
  private func setSlots() throws(MachineError) {
    let space = template.space
    try unsafe setSlot(
      AddressSpace.Slot.template.rawValue, at: AddressSpace.Slot.template.physicalBase, shared.base,
      Int(space.tablesOffset), flags: KVM_MEM_READONLY)
    try unsafe setSlot(
      AddressSpace.Slot.tables, at: AddressSpace.Slot.template.physicalBase + space.tablesOffset, tables.base,
      tables.size, flags: 0)
    try unsafe setSlot(
      AddressSpace.Slot.host.rawValue, at: AddressSpace.Slot.host.physicalBase, hostArea.base, hostArea.size,
      flags: KVM_MEM_READONLY)
    try unsafe setSlot(
      AddressSpace.Slot.guest.rawValue, at: AddressSpace.Slot.guest.physicalBase, guestArea.base,
      guestArea.size, flags: KVM_MEM_LOG_DIRTY_PAGES)
  }

  private func setSlot(
    _ slot: UInt32, at physical: UInt64, _ memory: UnsafeMutableRawPointer, _ size: Int, flags: UInt
  ) throws(MachineError) {
    var region = kvm_userspace_memory_region()
    region.slot = slot
    region.flags = UInt32(flags)
    region.guest_phys_addr = physical
    region.memory_size = UInt64(size)
    region.userspace_addr = UInt64(UInt(bitPattern: memory))
    let result = unsafe nub_kvm_set_region(vm.number, &region)
    guard result >= 0 else { throw .system("KVM_SET_USER_MEMORY_REGION", result) }
  }

  /// Makes this vCPU the one that interrupt signals to the calling thread are for, until ``disarm()``.
  func arm() { unsafe nub_kvm_arm(run.pointer) }
  func disarm() { nub_kvm_arm(nil) }

  /// Enters the guest until it leaves.
  func enter() -> Exit {
    let result = nub_kvm_run(vcpu.number)
    if result < 0 {
      unsafe run.pointer.pointee.immediate_exit = 0
      return result == -EINTR || result == -EAGAIN
        ? .interrupted : .unexpected("KVM_RUN failed: \(Errno(-result))")
    }
    switch unsafe Int32(run.pointer.pointee.exit_reason) {
    case KVM_EXIT_IO: return portExit()
    case KVM_EXIT_INTR:
      unsafe run.pointer.pointee.immediate_exit = 0
      return .interrupted
    case KVM_EXIT_SHUTDOWN: return .unexpected("the guest shut down (triple fault)")
    case KVM_EXIT_MMIO:
      return .unexpected(
        unsafe "the guest reached unbacked memory at \(hexadecimal(nub_run_mmio_address(run.pointer)))")
    case KVM_EXIT_HLT: return .unexpected("the guest executed HLT")
    case KVM_EXIT_INTERNAL_ERROR:
      return .unexpected(unsafe "KVM reported an internal error, suberror \(nub_run_suberror(run.pointer))")
    case KVM_EXIT_FAIL_ENTRY:
      return .unexpected(
        unsafe "KVM could not enter the guest, reason \(hexadecimal(nub_run_entry_failure(run.pointer)))")
    default: return .unexpected(unsafe "KVM exit reason \(run.pointer.pointee.exit_reason)")
    }
  }

  /// An allowed port also lets `in`, wider and repeated forms through, so all of it is checked: the direction, the size,
  /// the count, the port, and the privilege level that may use it.
  private func portExit() -> Exit {
    let page = unsafe run.pointer
    let level = unsafe nub_run_sregs(page).pointee.ss.dpl
    let port = unsafe UInt32(nub_run_io_port(page))
    guard unsafe nub_run_io_direction(page) == UInt8(KVM_EXIT_IO_OUT), unsafe nub_run_io_size(page) == 1,
      unsafe nub_run_io_count(page) == 1
    else {
      return .unexpected("an access to port \(hexadecimal(UInt64(port))) that is not a single byte out")
    }
    switch (port, level) {
    case (NUB_PORT_DOORBELL, 3): return .doorbell
    case (NUB_PORT_EXCEPTION, 0):
      // The exit is reported with rip at or behind the instruction; both lie in the stub.
      guard let vector = unsafe DescriptorTables.vector(atStub: nub_run_regs(page).pointee.rip) else {
        return .unexpected("an exception report from outside the stubs")
      }
      return .exception(vector: vector)
    default: return .unexpected("an access to port \(hexadecimal(UInt64(port))) at privilege level \(level)")
    }
  }

  /// Lets KVM finish the instruction of the last exit without running the guest, so that the registers are consistent and
  /// setting them is not overtaken by the rest of an `out` (api.rst, 5. kvm_run, KVM_EXIT_IO and immediate_exit).
  func completePendingExit() throws(MachineError) {
    unsafe run.pointer.pointee.immediate_exit = 1
    let result = nub_kvm_run(vcpu.number)
    unsafe run.pointer.pointee.immediate_exit = 0
    guard result == -EINTR else {
      throw MachineError(.protocolViolation, "the vCPU did not come to rest (\(result))")
    }
  }

  var tscKilohertz: UInt64 {
    let result = nub_kvm_tsc_khz(vcpu.number)
    return result > 0 ? UInt64(result) : TimeStampCounter.kilohertz
  }

  /// The registers as of the last exit.
  var registers: kvm_regs { unsafe nub_run_regs(run.pointer).pointee }
  var specialRegisters: kvm_sregs { unsafe nub_run_sregs(run.pointer).pointee }
  var descriptor: Int32 { vcpu.number }
  var machineDescriptor: Int32 { vm.number }
  var runPage: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(run.pointer) }

  /// The exception that a stub has just reported, from the frame that the processor pushed.
  func exception(vector: Int) -> ProcessorException? {
    let registers = self.registers
    guard let stack = template.space.mapping(.exceptionStack),
      registers.rsp >= stack.virtual, registers.rsp <= stack.virtual + stack.size,
      let frame = unsafe guestArea.bytes(
        at: stack.offset + (registers.rsp - stack.virtual),
        count: DescriptorTables.pushesErrorCode(vector) ? 48 : 40)
    else { return nil }
    let skip = frame.count - 40
    func word(_ index: Int) -> UInt64 {
      unsafe frame.loadUnaligned(fromByteOffset: skip + 8 * index, as: UInt64.self)
    }
    var general = GeneralRegisters(registers)
    general.rip = word(0)
    general.rflags = word(2)
    general.rsp = word(3)
    let address = vector == 14 ? specialRegisters.cr2 : 0
    var exception = unsafe ProcessorException(
      vector: UInt8(vector), errorCode: skip == 0 ? 0 : frame.loadUnaligned(as: UInt64.self),
      instructionPointer: word(0), stackPointer: word(3), flags: word(2), address: address,
      registers: general)
    exception.isStackOverflow = vector == 14 && template.space.isBelowStack(address)
    return exception
  }
}

extension GeneralRegisters {
  init(_ registers: kvm_regs) {
    rax = registers.rax
    rbx = registers.rbx
    rcx = registers.rcx
    rdx = registers.rdx
    rsi = registers.rsi
    rdi = registers.rdi
    rbp = registers.rbp
    rsp = registers.rsp
    r8 = registers.r8
    r9 = registers.r9
    r10 = registers.r10
    r11 = registers.r11
    r12 = registers.r12
    r13 = registers.r13
    r14 = registers.r14
    r15 = registers.r15
    rip = registers.rip
    rflags = registers.rflags
  }
}

/// The page that a vCPU shares with its user (api.rst, 5. The kvm_run structure).
@safe struct RunPage: ~Copyable, @unchecked Sendable {
  // Safe to hold: it owns the mapping, which is at least as large as the structure (KVMDevice checks that).
  // Sendable: a mapping with one noncopyable owner, and a constant address.
  let pointer: UnsafeMutablePointer<kvm_run>
  private let size: Int

  init(vcpu: Int32, size: Int) throws(MachineError) {
    guard let memory = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0),
      unsafe memory != mapFailed
    else {
      throw .system("mmap of the vCPU's run page", -errno)
    }
    unsafe pointer = unsafe memory.assumingMemoryBound(to: kvm_run.self)
    self.size = size
  }

  /// Which register sets KVM copies into the page at each exit (api.rst, KVM_CAP_SYNC_REGS).
  func synchronise(_ sets: UInt64) { unsafe pointer.pointee.kvm_valid_regs = sets }

  deinit { unsafe munmap(pointer, size) }
}
