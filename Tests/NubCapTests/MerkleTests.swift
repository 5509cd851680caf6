import Testing

@testable import NubCap

@Suite("Merkle trees")
struct MerkleTests {
  /// SSZ's definition, word for word: pad with zero chunks to the limit, hash level by level.
  static func merkleize(_ chunks: [CapHash], depth: Int) -> CapHash {
    var level = chunks + [CapHash](repeating: .zero, count: (1 << depth) - chunks.count)
    while level.count > 1 {
      level = stride(from: 0, to: level.count, by: 2).map {
        SHA256.hash(level[$0].bytes + level[$0 + 1].bytes)
      }
    }
    return level[0]
  }

  @Test("leaves one by one make the root that the definition gives", arguments: 0...5)
  func accumulator(depth: Int) {
    for count in 0...(1 << depth) {
      let chunks = (0..<count).map { capName($0) }
      var accumulator = MerkleAccumulator(base: 0)
      for chunk in chunks { accumulator.append(chunk) }
      #expect(accumulator.root(depth: depth) == Self.merkleize(chunks, depth: depth))
    }
  }

  @Test("bytes of every length make the root that the definition gives", arguments: 1...7)
  func subtree(depth: Int) {
    var scratch = MerkleScratch()
    for count in 1...(32 << depth) where count < 200 || count % 61 == 0 || count > (32 << depth) - 3 {
      let bytes = payload(seed: count, count: count)
      let padded = bytes + [UInt8](repeating: 0, count: (32 - count % 32) % 32)
      let chunks = stride(from: 0, to: padded.count, by: 32).map {
        CapHash([UInt8](padded[$0..<$0 + 32])) ?? .zero
      }
      let root = bytes.withUnsafeBytes { buffer in
        buffer.baseAddress.map { scratch.root(ofBytes: $0, count: count, depth: depth) }
      }
      #expect(root == Self.merkleize(chunks, depth: depth))
    }
  }

  @Test("the roots of zeros are those of zeros")
  func zeros() {
    for depth in 0...8 { #expect(Merkle.zeroRoots[depth] == Self.merkleize([], depth: depth)) }
  }

  @Test(
    "a Data cap hashes the same in one piece and in many",
    arguments: [0, 1, 31, 32, 33, 4095, 4096, 4097, 8192, 12_289, 100_000])
  func pieces(count: Int) {
    let bytes = payload(seed: count, count: count)
    let whole = Cap.Data.hashTreeRoot(of: bytes.span.bytes)
    for piece in [1000, 4096, 4097, 10_000] {
      var hasher = ByteListHasher()
      for start in stride(from: 0, to: count, by: piece) {
        hasher.update([UInt8](bytes[start..<min(start + piece, count)]).span.bytes)
      }
      #expect(hasher.byteCount == UInt64(count))
      #expect(hasher.finalizeDataCap() == whole)
    }
  }
}
