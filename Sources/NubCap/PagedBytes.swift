/// Bytes in pages of 4096, each loaded or missing. The last page may be short; no bytes, no page.
public struct PagedBytes: Equatable, Sendable {
  /// A page: its bytes, or the root of its subtree of the Merkle tree (depth 7), as good as the bytes for hashing.
  public enum Page: Equatable, Sendable {
    case loaded([UInt8])
    case missing(root: CapHash)
  }

  /// The size in bytes of all pages.
  public let byteCount: UInt64
  /// In order. Page i holds the bytes from `4096 * i`.
  public private(set) var pages: [Page]

  /// Bytes of which nothing is loaded yet.
  ///
  /// - Throws: `overLimit` for more bytes than a cap can have; `badPage` if the number of roots is not that of the pages.
  public init(byteCount: UInt64, missing roots: [CapHash]) throws(CapError) {
    guard byteCount <= CapLimits.dataBytes else {
      throw CapError(.overLimit, "Data.bytes", value: byteCount, limit: CapLimits.dataBytes)
    }
    guard roots.count == PagedBytes.pageCount(byteCount) else {
      throw CapError(.badPage, "Data.bytes", value: UInt64(roots.count))
    }
    self.byteCount = byteCount
    self.pages = roots.map { .missing(root: $0) }
  }

  /// The number of pages of `byteCount` bytes.
  static func pageCount(_ byteCount: UInt64) -> Int {
    Int((byteCount + UInt64(CapLimits.pageBytes) - 1) / UInt64(CapLimits.pageBytes))
  }

  /// The size of page `index` in bytes: 4096, or what is left for the last one.
  func pageByteCount(_ index: Int) -> Int {
    Int(min(UInt64(CapLimits.pageBytes), byteCount - UInt64(index) * UInt64(CapLimits.pageBytes)))
  }
}

extension PagedBytes {
  /// All of `bytes`, loaded.
  ///
  /// - Throws: `overLimit` for more bytes than a cap can have.
  public init(loading bytes: RawSpan) throws(CapError) {
    guard UInt64(bytes.byteCount) <= CapLimits.dataBytes else {
      throw CapError(
        .overLimit, "Data.bytes", value: UInt64(bytes.byteCount), limit: CapLimits.dataBytes)
    }
    byteCount = UInt64(bytes.byteCount)
    pages = []
    pages.reserveCapacity(PagedBytes.pageCount(byteCount))
    var offset = 0
    while offset < bytes.byteCount {
      let end = min(offset + CapLimits.pageBytes, bytes.byteCount)
      pages.append(.loaded([UInt8](copying: bytes.extracting(offset..<end))))
      offset = end
    }
  }

  /// Puts the bytes of page `index` in its place.
  ///
  /// - Throws: `badPage` if there is no such page, or it has another size; `hashMismatch` if a missing page's root is not
  ///   theirs. The pages are then as before.
  public mutating func load(page index: Int, _ bytes: RawSpan) throws(CapError) {
    guard pages.indices.contains(index), bytes.byteCount == pageByteCount(index) else {
      throw CapError(.badPage, "Data.bytes", value: UInt64(truncatingIfNeeded: index))
    }
    guard PagedBytes.root(ofPage: bytes) == root(ofPage: index) else {
      throw CapError(.hashMismatch, "Data.bytes", value: UInt64(index))
    }
    pages[index] = .loaded([UInt8](copying: bytes))
  }

  /// Forgets the bytes of page `index` and keeps its root.
  ///
  /// - Throws: `badPage` if there is no such page.
  public mutating func unload(page index: Int) throws(CapError) {
    guard pages.indices.contains(index) else {
      throw CapError(.badPage, "Data.bytes", value: UInt64(truncatingIfNeeded: index))
    }
    pages[index] = .missing(root: root(ofPage: index))
  }

  /// The numbers of the pages that are missing.
  public var missingPages: [Int] {
    pages.indices.filter { index in
      if case .missing = pages[index] { true } else { false }
    }
  }

  /// The root of the subtree of depth 7 that a page is. `bytes` is 1 to 4096 bytes.
  ///
  /// - Returns: nil for another number of bytes.
  public static func root(ofPage bytes: RawSpan) -> CapHash? {
    guard (1...CapLimits.pageBytes).contains(bytes.byteCount) else { return nil }
    var scratch = MerkleScratch()
    return unsafe bytes.withUnsafeBytes { buffer in
      unsafe scratch.root(
        ofBytes: buffer.baseAddress.unsafelyUnwrapped, count: buffer.count, depth: ByteListHasher.pageDepth)
    }
  }

  /// The root of page `index`, which exists.
  private func root(ofPage index: Int) -> CapHash {
    switch pages[index] {
    case .missing(let root): root
    // A loaded page is never empty, as `pageCount` and `load` see to.
    case .loaded(let bytes): unsafe PagedBytes.root(ofPage: bytes.span.bytes) ?? .zero
    }
  }

  /// The `hash_tree_root` of the bytes as ByteList[2**32].
  func listRoot() -> CapHash {
    var tree = MerkleAccumulator(base: ByteListHasher.pageDepth)
    for index in pages.indices { tree.append(root(ofPage: index)) }
    return Merkle.mixInLength(tree.root(depth: ByteLimit.data.rawValue), byteCount)
  }
}
