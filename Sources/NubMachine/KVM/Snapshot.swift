import CKVM
import NubABI
import Synchronization

/// A virtual machine's state at one moment: registers, and the pages of the guest slot that are not zero.
///
/// Pages are found through KVM's dirty log, which is on from the slot's creation, so taking and restoring cost in
/// proportion to what was written. The log does not see the host's own writes; ``hostWritten`` names those pages.
final class Snapshot: Sendable {
  private let registers: kvm_regs
  private let special: kvm_sregs
  private let extended: ExtendedState
  private let debug: kvm_debugregs
  private let events: kvm_vcpu_events
  /// Page numbers in the guest slot, ascending, and their contents one after the other.
  private let pages: [UInt32]
  private let contents: [UInt8]
  /// Which of them are zero, as a new machine's are.
  private let isZero: [Bool]
  private let hostWritten: [UInt32]

  private static let pageSize = Int(MemoryMap.pageSize)

  init(of machine: VirtualMachine) throws(MachineError) {
    try machine.completePendingExit()
    let vcpu = machine.descriptor
    var registers = kvm_regs()
    var special = kvm_sregs()
    var debug = kvm_debugregs()
    try unsafe Snapshot.check(nub_kvm_get_regs(vcpu, &registers), "KVM_GET_REGS")
    try unsafe Snapshot.check(nub_kvm_get_sregs(vcpu, &special), "KVM_GET_SREGS")
    try unsafe Snapshot.check(nub_kvm_get_debugregs(vcpu, &debug), "KVM_GET_DEBUGREGS")
    extended = try ExtendedState(of: vcpu)
    var events = kvm_vcpu_events()
    try unsafe Snapshot.check(nub_kvm_get_events(vcpu, &events), "KVM_GET_VCPU_EVENTS")
    self.events = events
    self.registers = registers
    self.special = special
    self.debug = debug

    let space = machine.template.space
    hostWritten = [AddressSpace.Region.guestControl, .log].compactMap { region in
      space.mapping(region).map { UInt32($0.offset / MemoryMap.pageSize) }
    }
    var numbers = Set(hostWritten)
    for mapping in space.mappings {
      guard case .imageWritable = mapping.region else { continue }
      for page in 0..<(mapping.size / MemoryMap.pageSize) {
        numbers.insert(UInt32(mapping.offset / MemoryMap.pageSize + page))
      }
    }
    var bitmap = DirtyBitmap(pages: machine.guestArea.size / Snapshot.pageSize)
    try bitmap.fetch(machine)
    bitmap.forEach { numbers.insert(UInt32($0)) }
    pages = numbers.sorted()
    var contents: [UInt8] = []
    contents.reserveCapacity(pages.count * Snapshot.pageSize)
    for page in pages {
      if let bytes = unsafe machine.guestArea.bytes(
        at: UInt64(page) * MemoryMap.pageSize, count: MemoryMap.pageSize)
      {
        unsafe contents.append(contentsOf: bytes)
      }
    }
    self.contents = contents
    isZero = stride(from: 0, to: contents.count, by: Snapshot.pageSize).map { start in
      contents[start..<(start + Snapshot.pageSize)].allSatisfy { $0 == 0 }
    }
  }

  /// Puts the machine back into this state.
  func restore(_ machine: VirtualMachine) throws(MachineError) {
    try machine.completePendingExit()
    let vcpu = machine.descriptor
    var bitmap = DirtyBitmap(pages: machine.guestArea.size / Snapshot.pageSize)
    try bitmap.fetch(machine)
    for page in hostWritten { bitmap.insert(Int(page)) }
    machine.debuggerWrites.withLock { pages in
      for page in pages { bitmap.insert(Int(page)) }
      pages = []
    }
    restorePages(bitmap, machine.guestArea)

    try setRegisters(of: vcpu)
  }

  /// Puts a machine into this state that was made like the one it was taken of and has never run.
  func start(_ machine: VirtualMachine) throws(MachineError) {
    unsafe contents.withUnsafeBytes { source in
      for (index, page) in pages.enumerated() where !isZero[index] {
        unsafe machine.guestArea.bytes(at: UInt64(page) * MemoryMap.pageSize, count: MemoryMap.pageSize)?
          .copyMemory(
            from: UnsafeRawBufferPointer(
              rebasing: source[(index * Snapshot.pageSize)..<((index + 1) * Snapshot.pageSize)]))
      }
    }
    try setRegisters(of: machine.descriptor)
  }

  private func setRegisters(of vcpu: Int32) throws(MachineError) {
    var registers = registers
    var special = special
    var debug = debug
    try unsafe Snapshot.check(nub_kvm_set_sregs(vcpu, &special), "KVM_SET_SREGS")
    try unsafe Snapshot.check(nub_kvm_set_regs(vcpu, &registers), "KVM_SET_REGS")
    try unsafe Snapshot.check(nub_kvm_set_debugregs(vcpu, &debug), "KVM_SET_DEBUGREGS")
    // An exception that was queued when the guest was stopped would otherwise be delivered to the restored guest.
    var events = events
    try unsafe Snapshot.check(nub_kvm_set_events(vcpu, &events), "KVM_SET_VCPU_EVENTS")
    try extended.apply(to: vcpu)
  }

  private func restorePages(_ bitmap: DirtyBitmap, _ memory: borrowing MappedMemory) {
    unsafe contents.withUnsafeBytes { source in
      var next = 0
      // Runs of pages that the snapshot does not have were zero. Long runs go back to the system, short ones are wiped,
      // which is cheaper than faulting them in again.
      var run = 0..<0
      func flush() {
        guard !run.isEmpty else { return }
        if run.count >= 64 {
          memory.discard(at: run.lowerBound * Snapshot.pageSize, count: run.count * Snapshot.pageSize)
        } else {
          unsafe memory.bytes(
            at: UInt64(run.lowerBound * Snapshot.pageSize), count: UInt64(run.count * Snapshot.pageSize))?
            .initializeMemory(as: UInt8.self, repeating: 0)
        }
        run = 0..<0
      }
      bitmap.forEach { page in
        while next < pages.count, Int(pages[next]) < page { next += 1 }
        if next < pages.count, Int(pages[next]) == page {
          unsafe memory.bytes(at: UInt64(page * Snapshot.pageSize), count: UInt64(Snapshot.pageSize))?
            .copyMemory(
              from: UnsafeRawBufferPointer(
                rebasing: source[(next * Snapshot.pageSize)..<((next + 1) * Snapshot.pageSize)]))
          return
        }
        if run.upperBound == page, !run.isEmpty {
          run = run.lowerBound..<(page + 1)
        } else {
          flush()
          run = page..<(page + 1)
        }
      }
      flush()
    }
  }

  fileprivate static func check(_ result: Int32, _ call: String) throws(MachineError) {
    guard result >= 0 else { throw .system(call, result) }
  }
}

/// FPU, SSE and wider registers. Not KVM_SET_FPU: that leaves the upper halves of the YMM registers.
@safe private struct ExtendedState: ~Copyable, @unchecked Sendable {
  // Safe: it owns the memory, and nobody else sees the address.
  // Sendable: memory of its own that does not change after init.
  private let state: UnsafeMutablePointer<kvm_xsave>

  init(of vcpu: Int32) throws(MachineError) {
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: kvm_xsave())
    let result = unsafe nub_kvm_get_xsave(vcpu, state)
    guard result >= 0 else { throw .system("KVM_GET_XSAVE", result) }
  }

  deinit { unsafe state.deallocate() }

  func apply(to vcpu: Int32) throws(MachineError) {
    let result = unsafe nub_kvm_set_xsave(vcpu, state)
    guard result >= 0 else { throw .system("KVM_SET_XSAVE", result) }
  }
}

/// Which pages of the guest slot were written since the last look.
struct DirtyBitmap {
  private var words: [UInt64]
  private let pages: Int

  init(pages: Int) {
    self.pages = pages
    words = [UInt64](repeating: 0, count: (pages + 63) / 64)
  }

  /// Takes KVM's log, which starts afresh.
  mutating func fetch(_ machine: VirtualMachine) throws(MachineError) {
    let result = unsafe words.withUnsafeMutableBytes { bytes in
      unsafe nub_kvm_dirty_log(machine.machineDescriptor, AddressSpace.Slot.guest.rawValue, bytes.baseAddress)
    }
    guard result >= 0 else { throw .system("KVM_GET_DIRTY_LOG", result) }
  }

  mutating func insert(_ page: Int) {
    guard page < pages else { return }
    words[page / 64] |= 1 << UInt64(page % 64)
  }

  /// Calls `body` with each page's number, ascending.
  func forEach(_ body: (Int) -> Void) {
    for (index, word) in words.enumerated() where word != 0 {
      var rest = word
      while rest != 0 {
        let page = index * 64 + rest.trailingZeroBitCount
        if page < pages { body(page) }
        rest &= rest - 1
      }
    }
  }
}
