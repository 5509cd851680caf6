/// Makes the root of a tree from its subtrees, which come from left to right, all of one depth.
///
/// It works like a binary counter: `pending[i]` is the root of a complete subtree that waits for its right sibling
/// exactly if bit i of `count` is set. So it needs a node for each level, however many subtrees come.
struct MerkleAccumulator {
  private var pending = InlineArray<33, CapHash>(repeating: .zero)
  private(set) var count: UInt64 = 0
  /// The depth of the subtrees that come.
  let base: Int

  init(base: Int) {
    self.base = base
  }

  /// Takes the next subtree.
  mutating func append(_ root: CapHash) {
    var node = root
    var level = 0
    while count >> UInt64(level) & 1 == 1 {
      node = Merkle.node(pending[level], node)
      level += 1
    }
    pending[level] = node
    count += 1
  }

  /// The root of a tree of `depth` levels over what has come, zero-padded. `count <= 1 << (depth - base)`.
  func root(depth: Int) -> CapHash {
    if count == 0 { return Merkle.zeroRoots[depth] }
    let levels = depth - base
    var node: CapHash?
    for level in 0..<levels {
      let isPending = count >> UInt64(level) & 1 == 1
      switch (isPending, node) {
      case (true, let right): node = Merkle.node(pending[level], right ?? Merkle.zeroRoots[base + level])
      case (false, let left?): node = Merkle.node(left, Merkle.zeroRoots[base + level])
      case (false, nil): break
      }
    }
    // Nothing on the way: the tree is full, and its root is the one that waits at the top.
    return node ?? pending[levels]
  }
}
