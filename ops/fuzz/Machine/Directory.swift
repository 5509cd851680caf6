import CNubABI
import NubCap

/// What the host reads of a guest's directory of caps, and of what the guest says about itself.
///
/// The answer is that of a plain search: a hash is found only where an entry that is in use names it, and never missed where the
/// entries from its place up to it are all in use.
public func fuzzDirectory(_ input: UnsafeRawBufferPointer) {
  var bytes = Bytes(input)
  let capacity = 1 << Int(bytes.byte() % 8)
  _ = try? BootInfo(Array(bytes.remaining.prefix(48)), expectedCapacity: UInt32(capacity))
  let headerSize = MemoryLayout<nub_directory>.size
  let entrySize = MemoryLayout<nub_directory_entry>.size
  let size = headerSize + capacity * entrySize
  var wanted: [[UInt8]] = [[UInt8](repeating: 0, count: 32), [UInt8](repeating: 0xff, count: 32)]
  wanted += stride(from: 0, to: min(bytes.remaining.count, 1024), by: 32).map { start in
    let part = [UInt8](bytes.remaining[start...].prefix(32))
    return part + [UInt8](repeating: 0, count: 32 - part.count)
  }
  var contents = [UInt8](bytes.remaining.prefix(size))
  contents += [UInt8](repeating: 0, count: size - contents.count)
  if bytes.remaining.first ?? 0 & 1 == 0 {
    // An honest header, so that what is behind it is looked at.
    var header = nub_directory()
    header.magic = NUB_DIRECTORY_MAGIC
    header.capacity = UInt32(capacity)
    withUnsafeBytes(of: header) { contents.replaceSubrange(0..<headerSize, with: $0) }
  }
  contents.withUnsafeBytes { contents in
    withArea(contents) { area in
      for wrong in [0, 3, capacity * 2] {
        require(
          DirectoryReader(UnsafeRawBufferPointer(area), capacity: UInt32(wrong)) == nil, "a wrong capacity")
      }
      guard let reader = DirectoryReader(UnsafeRawBufferPointer(area), capacity: UInt32(capacity)) else { return }
      for hash in wanted {
        guard let name = CapHash(hash) else { fatalError("32 bytes are no hash") }
        require(
          reader.contains(name) == search(area, capacity, hash), "the directory's answer is not the plain search's")
      }
    }
  }
}

private func search(_ area: UnsafeMutableRawBufferPointer, _ capacity: Int, _ hash: [UInt8]) -> Bool {
  let first = hash.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
  for step in 0..<min(capacity, 256) {
    let slot = Int((first &+ UInt64(step)) % UInt64(capacity))
    let at = MemoryLayout<nub_directory>.size + slot * MemoryLayout<nub_directory_entry>.size
    let state = area.loadUnaligned(fromByteOffset: at + 44, as: UInt32.self)
    if state == 0 { return false }
    if area[at..<(at + 32)].elementsEqual(hash) { return true }
  }
  return false
}
