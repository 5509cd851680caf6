internal import CNubCPU

/// Merkleization as SSZ defines it (consensus specs, "Simple Serialize", section Merkleization): binary trees over
/// 32-byte chunks, padded with zero chunks to a power of two, hashed with SHA-256.
///
/// Padding is never hashed: a subtree of zeros has one root per depth, kept in a table. So the cost of a tree is in
/// proportion to what is there, and only the depth of its right edge is in proportion to its limit.
enum Merkle {
  /// The deepest tree of the schema is a Data cap's, 2^27 chunks.
  static let maximumDepth = 32

  /// Element d: the root of a tree of depth d whose leaves are all zero.
  static let zeroRoots: InlineArray<33, CapHash> = {
    var roots = InlineArray<33, CapHash>(repeating: .zero)
    for depth in 1...maximumDepth {
      roots[depth] = node(roots[depth - 1], roots[depth - 1])
    }
    return roots
  }()

  /// The parent of two nodes.
  static func node(_ left: CapHash, _ right: CapHash) -> CapHash {
    // Two hashes in a tuple lie one after the other, without padding: each is four UInt64.
    let pair = (left, right)
    var parent = CapHash.zero
    unsafe withUnsafeBytes(of: pair) { source in
      unsafe withUnsafeMutableBytes(of: &parent) { target in
        unsafe hashPairs(
          into: target.baseAddress.unsafelyUnwrapped, from: source.baseAddress.unsafelyUnwrapped, count: 1)
      }
    }
    return parent
  }

  /// SSZ's `mix_in_length`.
  static func mixInLength(_ root: CapHash, _ length: UInt64) -> CapHash {
    node(root, chunk(length))
  }

  /// SSZ's `mix_in_selector`.
  static func mixInSelector(_ root: CapHash, _ kind: CapKind) -> CapHash {
    node(root, chunk(UInt64(kind.rawValue)))
  }

  /// The chunk of an unsigned integer: little-endian, zeros after it.
  static func chunk(_ value: UInt64) -> CapHash {
    CapHash(words: (value.littleEndian, 0, 0, 0))
  }

  /// The parents of `count` pairs of nodes that lie one after the other: `64 * count` bytes at `source`, `32 * count` at
  /// `target`, which may be `source` itself.
  @unsafe
  static func hashPairs(into target: UnsafeMutableRawPointer, from source: UnsafeRawPointer, count: Int) {
    if SHA256.hasExtensions {
      unsafe nub_sha256_hash_pairs(
        target.assumingMemoryBound(to: UInt8.self), source.assumingMemoryBound(to: UInt8.self), count)
    } else {
      unsafe hashPairsPortably(into: target, from: source, count: count)
    }
  }

  /// As `hashPairs`, in plain Swift.
  @unsafe
  static func hashPairsPortably(
    into target: UnsafeMutableRawPointer, from source: UnsafeRawPointer, count: Int
  ) {
    for index in 0..<count {
      var sha = SHA256(useExtensions: false)
      unsafe sha.update(UnsafeRawBufferPointer(start: source + 64 * index, count: 64))
      let digest = sha.finalize()
      unsafe (target + 32 * index).storeBytes(of: digest, as: CapHash.self)
    }
  }
}
