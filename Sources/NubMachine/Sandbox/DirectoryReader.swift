import CNubABI
import NubCap

/// The host's view of a guest's directory: read in place, without a lock and without entering the VM.
///
/// The guest is hostile, so its contents promise nothing: the view's place and size were checked once, an index into it
/// is computed here and never read from it, and a lookup looks at a bounded number of entries. The worst that a lying
/// directory achieves is a put that is skipped or repeated for its own sandbox.
@safe struct DirectoryReader: @unchecked Sendable {
  // Safe: init checked that header and entries lie in the view, and indices are masked to the capacity.
  // Sendable: a view into the sandbox's memory, kept and used by the sandbox's owner alone.

  /// A directory that is no more than three quarters full needs far fewer (linear probing, Knuth TAOCP 3, 6.4).
  private static let probeLimit = 256

  private let header: UnsafePointer<nub_directory>
  private let entries: UnsafePointer<nub_directory_entry>
  private let mask: Int

  /// - Parameter bytes: the directory, header and all entries.
  init?(_ bytes: UnsafeRawBufferPointer, capacity: UInt32) {
    let headerSize = MemoryLayout<nub_directory>.size
    guard let base = bytes.baseAddress, capacity > 0, capacity & (capacity - 1) == 0,
      bytes.count == headerSize + Int(capacity) * MemoryLayout<nub_directory_entry>.size,
      UInt(bitPattern: base) % 8 == 0
    else { return nil }
    let header = unsafe bytes.loadUnaligned(as: nub_directory.self)
    guard header.magic == NUB_DIRECTORY_MAGIC, header.capacity == capacity else { return nil }
    unsafe self.header = unsafe base.assumingMemoryBound(to: nub_directory.self)
    unsafe entries = unsafe (base + headerSize).assumingMemoryBound(to: nub_directory_entry.self)
    mask = Int(capacity) - 1
  }

  /// True where the guest's directory names `hash`.
  func contains(_ hash: CapHash) -> Bool {
    let wanted = hash.words
    var slot = Int(truncatingIfNeeded: wanted.0) & mask
    for _ in 0..<DirectoryReader.probeLimit {
      let entry = unsafe entries + slot
      guard unsafe entry.pointee.state != 0 else { return false }
      if unsafe entry.pointee.hash.0 == wanted.0, unsafe entry.pointee.hash == wanted { return true }
      slot = (slot + 1) & mask
    }
    return false
  }

  /// The caps that calls have used since the guest's clock showed `time`, by the guest's word, and what it shows now.
  func used(since time: UInt64) -> (caps: [CapHash], clock: UInt64) {
    let clock = unsafe header.pointee.clock
    guard clock != time else { return ([], clock) }
    var caps: [CapHash] = []
    for slot in 0...mask {
      let entry = unsafe entries + slot
      guard unsafe entry.pointee.state != 0, unsafe entry.pointee.last_used > time else { continue }
      let hash = unsafe withUnsafeBytes(of: entry.pointee.hash) { unsafe CapHash($0) }
      if let hash { caps.append(hash) }
    }
    return (caps, clock)
  }
}
