/// The `hash_tree_root` of a ByteList whose bytes come piece by piece, so that a file of any size is hashed in constant
/// memory.
///
/// ```swift
/// var hasher = ByteListHasher()
/// hasher.update(piece)
/// let name = hasher.finalizeDataCap()
/// ```
public struct ByteListHasher: Sendable {
  /// The depth of a page's subtree: 128 chunks.
  static let pageDepth = 7

  private var pages = MerkleAccumulator(base: ByteListHasher.pageDepth)
  private var scratch = MerkleScratch()
  private var buffer = InlineArray<4096, UInt8>(repeating: 0)
  /// Bytes taken so far.
  public private(set) var byteCount: UInt64 = 0

  public init() {}

  /// Takes the next bytes.
  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe update($0) }
  }

  /// Takes the next bytes.
  @unsafe
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard var source = bytes.baseAddress, bytes.count > 0 else { return }
    var left = bytes.count
    let used = Int(byteCount % 4096)
    byteCount &+= UInt64(left)
    if used > 0 {
      let taken = min(left, 4096 - used)
      unsafe fill(from: used, source, taken)
      unsafe source += taken
      left -= taken
      if used + taken < 4096 { return }
      pages.append(rootOfBuffer(count: 4096))
    }
    while left >= 4096 {
      unsafe pages.append(scratch.root(ofBytes: source, count: 4096, depth: ByteListHasher.pageDepth))
      unsafe source += 4096
      left -= 4096
    }
    if left > 0 {
      unsafe fill(from: 0, source, left)
    }
  }

  /// The name of the Data cap that has the bytes taken so far; nil if they are more than a Data cap can have.
  public mutating func finalizeDataCap() -> CapHash? {
    guard byteCount <= CapLimits.dataBytes else { return nil }
    let used = Int(byteCount % 4096)
    if used > 0 {
      pages.append(rootOfBuffer(count: used))
    }
    let list = Merkle.mixInLength(pages.root(depth: ByteLimit.data.rawValue), byteCount)
    // A container of one field has that field's root.
    return Merkle.mixInSelector(list, .data)
  }

  /// Copies `count` bytes to the buffer; `offset + count <= 4096`.
  @unsafe
  private mutating func fill(from offset: Int, _ source: UnsafeRawPointer, _ count: Int) {
    unsafe withUnsafeMutableBytes(of: &buffer) { target in
      unsafe target.baseAddress.unsafelyUnwrapped.advanced(by: offset).copyMemory(
        from: source, byteCount: count)
    }
  }

  private mutating func rootOfBuffer(count: Int) -> CapHash {
    Self.root(of: &buffer, count: count, &scratch)
  }

  /// Apart and with its own access to both, so that the buffer is not copied.
  private static func root(
    of buffer: inout InlineArray<4096, UInt8>, count: Int, _ scratch: inout MerkleScratch
  ) -> CapHash {
    unsafe withUnsafeBytes(of: &buffer) { source in
      unsafe scratch.root(ofBytes: source.baseAddress.unsafelyUnwrapped, count: count, depth: pageDepth)
    }
  }
}

/// The limits of the schema's byte lists, as the depths of their trees.
enum ByteLimit: Int {
  /// An endpoint's name: 64 bytes, 2 chunks.
  case name = 1
  /// An image's code, an overlay's bytes: 2^24 bytes, 2^19 chunks.
  case code = 19
  /// The bytes of a Data cap: 2^32 bytes, 2^27 chunks.
  case data = 27
}

extension Merkle {
  /// The root of a ByteList, all of whose bytes are here, and no more than the limit.
  static func byteListRoot(_ bytes: RawSpan, limit: ByteLimit, _ scratch: inout MerkleScratch) -> CapHash {
    let length = bytes.byteCount
    let depth = limit.rawValue
    let tree = unsafe bytes.withUnsafeBytes { (buffer) -> CapHash in
      guard let start = buffer.baseAddress, length > 0 else { return zeroRoots[depth] }
      if depth <= ByteListHasher.pageDepth {
        return unsafe scratch.root(ofBytes: start, count: length, depth: depth)
      }
      var pages = MerkleAccumulator(base: ByteListHasher.pageDepth)
      var offset = 0
      while offset < length {
        let count = min(CapLimits.pageBytes, length - offset)
        unsafe pages.append(
          scratch.root(ofBytes: start + offset, count: count, depth: ByteListHasher.pageDepth))
        offset += count
      }
      return pages.root(depth: depth)
    }
    return mixInLength(tree, UInt64(length))
  }
}
