import Foundation
import NubABI
public import NubCap
import NubELF

extension GuestImage {
  /// The image in a file. At most as much is read as an image may have.
  public init(contentsOf path: String) throws(MachineError) {
    let bytes: Data
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      bytes = try handle.read(upToCount: Int(MemoryMap.imageMaximum) + 1) ?? Data()
    } catch {
      throw MachineError(
        .imageInvalid, "the guest image \(path) cannot be read: \(error.localizedDescription)")
    }
    try self.init([UInt8](bytes))
  }

  /// SHA-256 of the image file, which names the image in the store.
  public var digest: CapHash { SHA256.hash(elf.bytes) }
}
