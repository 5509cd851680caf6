import CNubABI
import NubABI

/// What a guest says about itself at start-up and as function 5, checked.
public struct BootInfo: Sendable, Equatable {
  /// Functions that it has, nub's own among them.
  public var functionCount: UInt32
  /// Where the guest keeps its directory of caps.
  public var directoryAddress: UInt64
  /// Entries of the directory, a power of two.
  public var directoryCapacity: UInt32
  /// Address and bytes of its heap.
  public var heapBase: UInt64
  public var heapSize: UInt64

  init(_ bytes: [UInt8], expectedCapacity: UInt32) throws(MachineError) {
    guard bytes.count == MemoryLayout<nub_boot_info>.size else {
      throw MachineError(
        .imageInvalid, "boot info has \(bytes.count) bytes; expected \(MemoryLayout<nub_boot_info>.size)"
      )
    }
    let info = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: nub_boot_info.self) }
    guard info.magic == NUB_BOOT_MAGIC, info.abi_version == NUB_ABI_VERSION else {
      throw MachineError(
        .imageInvalid,
        "boot info has magic \(hexadecimal(info.magic)) and ABI version \(info.abi_version)")
    }
    guard info.directory_entry_size == UInt32(MemoryLayout<nub_directory_entry>.size),
      info.directory_capacity == expectedCapacity
    else {
      throw MachineError(
        .imageInvalid,
        "boot info names a directory of \(info.directory_capacity) entries of \(info.directory_entry_size) bytes"
      )
    }
    functionCount = info.function_count
    directoryAddress = info.directory
    directoryCapacity = info.directory_capacity
    heapBase = info.heap_base
    heapSize = info.heap_size
  }
}
