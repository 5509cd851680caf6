import CKVM
import Glibc
import NubABI
import NubELF
import Synchronization

/// What all sandboxes of one image and one configuration have in common, made once: the open device, the layout, and a
/// sealed memory file with descriptor tables, stubs, page tables and the image's code and constants.
///
/// A sandbox maps that file read-only, so its creation copies none of it and a thousand sandboxes hold it once.
final class MachineTemplate: Sendable {
  let image: GuestImage
  let configuration: SandboxConfiguration
  let space: AddressSpace
  let device: KVMDevice
  let pageTableRoot: UInt64
  let interruptSignal: Int32
  /// For naming addresses in faults.
  let symbols: SymbolTable
  private let file: FileDescriptor
  /// The state of a guest that has just got ready. The first sandbox's guest runs up to there; the others begin there.
  let started = Mutex<Snapshot?>(nil)

  /// - Parameter interruptSignal: the signal that interrupts a running vCPU; nil takes the first real-time signal that
  ///   the application does not handle.
  init(
    image: GuestImage, configuration: SandboxConfiguration = SandboxConfiguration(),
    interruptSignal: Int32? = nil
  ) throws(MachineError) {
    try configuration.validate()
    self.image = image
    symbols = SymbolTable(image.elf)
    self.configuration = configuration
    device = try KVMDevice()
    self.interruptSignal = try InterruptSignal.install(interruptSignal)
    space = AddressSpace(image: image, configuration: configuration)

    let size = Int(space.templateSize)
    file = try unsafe FileDescriptor(nub_memfd("nub-template"), "memfd_create")
    guard ftruncate(file.number, off_t(size)) == 0 else { throw .system("ftruncate", -errno) }
    do {
      // Sealing needs the writable mapping gone, so it lives in this scope alone.
      let memory = try MappedMemory(sharing: file.number, size: size, writable: true)
      DescriptorTables.write(into: memory)
      for mapping in space.mappings {
        guard case .imageReadOnly(let index) = mapping.region else { continue }
        unsafe MachineTemplate.load(
          image, image.segments[index], memory.bytes(at: mapping.offset, count: mapping.size))
      }
      guard let root = PageTables.write(space, into: memory) else {
        throw MachineError(.configurationInvalid, "the page tables do not fit the room computed for them")
      }
      pageTableRoot = root
    }
    let sealed = nub_memfd_seal(file.number)
    guard sealed >= 0 else { throw .system("sealing the template", sealed) }
  }

  /// A read-only view of the template's memory; for a debugger a copy that it can put breakpoints into.
  func mapShared() throws(MachineError) -> MappedMemory {
    if configuration.isDebuggable {
      return try MappedMemory(copying: file.number, size: Int(space.templateSize))
    }
    return try MappedMemory(sharing: file.number, size: Int(space.templateSize), writable: false)
  }

  /// A sandbox's page tables, see ``AddressSpace``: the template's pages, until something is written to one.
  func mapTables() throws(MachineError) -> MappedMemory {
    try MappedMemory(
      copying: file.number, at: space.tablesOffset, size: Int(space.tablesPages * MemoryMap.pageSize))
  }

  /// Copies a segment's bytes into the memory that stands for it.
  static func load(
    _ image: GuestImage, _ segment: GuestImage.Segment, _ target: UnsafeMutableRawBufferPointer?
  ) {
    guard let target = unsafe target, !segment.file.isEmpty, segment.file.count <= target.count else {
      return
    }
    unsafe image.elf.bytes.withUnsafeBytes { bytes in
      unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[segment.file]))
    }
  }
}
