import CKVM
import Glibc
import NubABI

/// Writes a virtual machine's state to a core file.
struct CoreWriter {
  /// Memory of the guest that goes into the file, where it lies in this process.
  @safe private struct Source {
    // Safe to hold: made and used within one call, while the machine that owns the memory is alive.
    var piece: CoreFile.Piece
    var bytes: UnsafeRawBufferPointer
  }

  let machine: VirtualMachine
  let sizeLimit: UInt64

  /// Writes the file in one step: whoever looks sees none, or the whole of it.
  func write(_ registers: CoreRegisters, _ reason: CoreFile.Reason, to path: String) throws(MachineError)
    -> CrashDump
  {
    var (sources, isTruncated) = choose()
    sources.sort { $0.piece.address < $1.piece.address }
    let core = CoreFile(pieces: sources.map(\.piece), registers: registers, reason: reason)
    let draft = "\(path)\(CrashDumpConfiguration.draftSuffix)\(getpid())"
    let number = unsafe open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    let file = try FileDescriptor(number < 0 ? -errno : number, "creating \(draft)")
    do throws(MachineError) {
      try write(core.head, to: file)
      for source in sources { try unsafe write(source.bytes, to: file) }
      guard unsafe rename(draft, path) == 0 else { throw .system("renaming \(draft)", -errno) }
    } catch {
      unsafe unlink(draft)
      throw error
    }
    return CrashDump(path: path, size: core.size, isTruncated: isTruncated)
  }

  private func write(_ bytes: [UInt8], to file: borrowing FileDescriptor) throws(MachineError) {
    try unsafe bytes.withUnsafeBufferPointer { (bytes) throws(MachineError) in
      try unsafe write(UnsafeRawBufferPointer(bytes), to: file)
    }
  }

  private func write(_ bytes: UnsafeRawBufferPointer, to file: borrowing FileDescriptor) throws(MachineError)
  {
    var rest = unsafe bytes[...]
    while unsafe !rest.isEmpty {
      let written = unsafe Glibc.write(
        file.number, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw .system("writing a crash dump", -errno) }
      unsafe rest = unsafe rest.dropFirst(written)
    }
  }

  /// What a person who looks for a mistake wants first.
  private func priority(_ region: AddressSpace.Region) -> Int {
    switch region {
    case .stack: 0
    case .exceptionStack, .guestControl, .hostControl: 1
    case .imageWritable: 2
    case .imageReadOnly, .descriptors, .stubs: 3
    case .log: 4
    case .heap: 5
    case .request: 6
    case .result, .response: 7
    }
  }

  /// The touched pages of all regions, as far as the size limit allows.
  private func choose() -> (sources: [Source], isTruncated: Bool) {
    let mappings = machine.template.space.mappings.sorted { priority($0.region) < priority($1.region) }
    let page = CoreFile.pageSize
    let limit = CoreFile.maximumPieces / max(mappings.count, 1)
    // Headers and notes: a program header for each piece, and less than two pages of the rest.
    var left = sizeLimit &- min(sizeLimit, 2 * page)
    var sources: [Source] = []
    for mapping in mappings {
      guard let view = unsafe machine.view(of: mapping) else { continue }
      let pages = Int(mapping.size / page)
      // The image's own pages come from a file that all sandboxes share; this process may never have touched them.
      let ranges =
        mapping.slot == .template
        ? [0..<pages] : unsafe ResidentPages.ranges(of: UnsafeRawBufferPointer(view))
      for range in ResidentPages.joined(ranges, limit: limit) {
        let affordable = min(UInt64(range.count), left > 56 ? (left - 56) / page : 0)
        guard affordable > 0 else { return (sources, true) }
        let start = range.lowerBound * Int(page)
        let size = affordable * page
        left -= size + 56
        unsafe sources.append(
          Source(
            piece: CoreFile.Piece(
              address: mapping.virtual + UInt64(start), size: size, isWritable: mapping.isWritable,
              isExecutable: mapping.isExecutable),
            bytes: UnsafeRawBufferPointer(rebasing: view[start..<(start + Int(size))])))
        guard affordable == UInt64(range.count) else { return (sources, true) }
      }
    }
    return (sources, false)
  }
}

extension VirtualMachine {
  /// A mapping's memory in this process.
  func view(of mapping: AddressSpace.Mapping) -> UnsafeMutableRawBufferPointer? {
    switch mapping.slot {
    case .template: unsafe shared.bytes(at: mapping.offset, count: mapping.size)
    case .host: unsafe hostArea.bytes(at: mapping.offset, count: mapping.size)
    case .guest: unsafe guestArea.bytes(at: mapping.offset, count: mapping.size)
    }
  }

  /// All registers. The vCPU is outside the guest.
  /// - Parameter exception: where a stub has reported one, the registers are those of the code that caused it.
  func coreRegisters(_ exception: ProcessorException?) throws(MachineError) -> CoreRegisters {
    var registers = CoreRegisters()
    var special = kvm_sregs()
    try VirtualMachine.check(unsafe nub_kvm_get_sregs(descriptor, &special), "KVM_GET_SREGS")
    if let exception {
      registers.general = exception.registers
      registers.cs = DescriptorTables.userCode
      registers.ss = DescriptorTables.userData
    } else {
      try completePendingExit()
      var general = kvm_regs()
      try VirtualMachine.check(unsafe nub_kvm_get_regs(descriptor, &general), "KVM_GET_REGS")
      registers.general = GeneralRegisters(general)
      registers.cs = special.cs.selector
      registers.ss = special.ss.selector
    }
    registers.ds = special.ds.selector
    registers.es = special.es.selector
    registers.fs = special.fs.selector
    registers.gs = special.gs.selector
    registers.fsBase = special.fs.base
    registers.gsBase = special.gs.base
    registers.extended = try extendedState()
    return registers
  }

  /// The XSAVE area.
  func extendedState() throws(MachineError) -> [UInt8] {
    var state = kvm_xsave()
    try VirtualMachine.check(unsafe nub_kvm_get_xsave(descriptor, &state), "KVM_GET_XSAVE")
    return unsafe withUnsafeBytes(of: &state) { bytes in unsafe [UInt8](bytes.prefix(4096)) }
  }

  static func check(_ result: Int32, _ call: String) throws(MachineError) {
    guard result >= 0 else { throw .system(call, result) }
  }
}
