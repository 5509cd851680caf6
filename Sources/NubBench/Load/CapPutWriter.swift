import NubCap

/// Writes `put_cap` messages of Data caps that differ in eight bytes, with their hashes as claims.
struct CapPutWriter: ~Copyable {
  private let wire: UnsafeMutableRawBufferPointer
  private let hashes: [CapHash]
  private var ids = JobIDs(.ordered)
  private var id = [UInt8](repeating: 0, count: 16)

  private static let magic: [UInt8] = Array("NUB1".utf8)
  private static let verb: [UInt8] = Array("put_cap".utf8)
  /// Where the bytes of a Data cap begin in its wire form: after the selector and one offset.
  private static let prefix: [UInt8] = [2, 4, 0, 0, 0]

  /// Hashes all caps, before any clock runs.
  init(count: Int, bytes: Int) {
    wire = .allocate(byteCount: CapPutWriter.prefix.count + max(bytes, 16), alignment: 8)
    for index in wire.indices { wire[index] = UInt8(truncatingIfNeeded: index &* 31) }
    wire.copyBytes(from: CapPutWriter.prefix)
    var hashes: [CapHash] = []
    hashes.reserveCapacity(count)
    // Different in every run, so that an old store knows none of them.
    seed = .random(in: 0 ... .max)
    for index in 0..<count {
      CapPutWriter.mark(wire, seed, index)
      let data = UnsafeRawBufferPointer(rebasing: wire[CapPutWriter.prefix.count...])
      hashes.append(Cap.Data.hashTreeRoot(of: data.bytes))
    }
    self.hashes = hashes
  }

  private let seed: UInt64

  deinit { wire.deallocate() }

  private static func mark(_ wire: UnsafeMutableRawBufferPointer, _ seed: UInt64, _ index: Int) {
    wire.storeBytes(of: seed, toByteOffset: prefix.count, as: UInt64.self)
    wire.storeBytes(of: UInt64(index), toByteOffset: prefix.count + 8, as: UInt64.self)
  }

  mutating func send(_ index: Int, to socket: inout LoadSocket) throws(BenchError) {
    CapPutWriter.mark(wire, seed, index)
    id.withUnsafeMutableBytes { ids.next(into: $0) }
    try socket.send(CapPutWriter.magic, more: true)
    try socket.send(CapPutWriter.verb, more: true)
    try socket.send(id, more: true)
    try socket.send(hashes[index].bytes, more: true)
    try socket.send(UnsafeRawBufferPointer(wire), more: false)
  }
}
