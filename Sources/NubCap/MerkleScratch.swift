/// Working memory for the subtrees of a Merkle tree: 64 nodes of 32 bytes.
///
/// One page of 4096 bytes is 128 chunks; their 64 parents fit here, and everything above them takes their place.
struct MerkleScratch {
  private var memory = InlineArray<256, UInt64>(repeating: 0)

  /// The nodes that fit.
  static let capacity = 64

  /// Puts a node at `index`, which is below 64.
  mutating func set(_ index: Int, _ node: CapHash) {
    memory[4 * index] = node.words.0
    memory[4 * index + 1] = node.words.1
    memory[4 * index + 2] = node.words.2
    memory[4 * index + 3] = node.words.3
  }

  /// The first node. Through a pointer, because a subscript's getter may copy the whole array.
  private mutating func first() -> CapHash {
    unsafe withUnsafeBytes(of: &memory) { unsafe $0.loadUnaligned(as: CapHash.self) }
  }

  /// Makes the parents of `count` pairs of nodes, 64 bytes each, the first nodes here. `count <= 64`.
  @unsafe
  mutating func setParents(of pairs: UnsafeRawPointer, count: Int) {
    unsafe withUnsafeMutableBytes(of: &memory) { nodes in
      unsafe Merkle.hashPairs(into: nodes.baseAddress.unsafelyUnwrapped, from: pairs, count: count)
    }
  }

  /// The root of the subtree whose bytes are `bytes.count` bytes from `bytes` on, zero-padded to `32 << depth`.
  ///
  /// `1 <= depth <= 7` and `1 <= count <= 32 << depth`: the callers cut their input that way.
  @unsafe
  mutating func root(ofBytes bytes: UnsafeRawPointer, count: Int, depth: Int) -> CapHash {
    let whole = count / 64
    if whole > 0 {
      unsafe setParents(of: bytes, count: whole)
    }
    let rest = count % 64
    if rest > 0 {
      var tail = (CapHash.zero, CapHash.zero)
      unsafe withUnsafeMutableBytes(of: &tail) { target in
        unsafe target.baseAddress.unsafelyUnwrapped.copyMemory(from: bytes + 64 * whole, byteCount: rest)
      }
      set(whole, Merkle.node(tail.0, tail.1))
    }
    return fold(count: rest > 0 ? whole + 1 : whole, from: 1, to: depth)
  }

  /// The root, at level `top`, of the subtree whose first nodes at level `bottom` are the first `count` that were set.
  ///
  /// `1 <= count <= 64` and `count <= 1 << (top - bottom)`.
  mutating func fold(count: Int, from bottom: Int, to top: Int) -> CapHash {
    var count = count
    for level in bottom..<top {
      if count % 2 == 1 {
        // An odd count is below the capacity, which is even.
        set(count, Merkle.zeroRoots[level])
        count += 1
      }
      count /= 2
      unsafe withUnsafeMutableBytes(of: &memory) { nodes in
        let start = unsafe nodes.baseAddress.unsafelyUnwrapped
        unsafe Merkle.hashPairs(into: start, from: UnsafeRawPointer(start), count: count)
      }
    }
    return first()
  }
}
