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
