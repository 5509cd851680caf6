extension Cap {
  /// Bytes, either at hand or page by page.
  ///
  /// Which of the two it is makes no difference to its hash: a page is a subtree of the Merkle tree of the bytes, so the
  /// root of a page that is not here stands in for it.
  public enum Data: Equatable, Sendable {
    /// All bytes.
    case inline([UInt8])
    /// Pages of 4096 bytes, each loaded or missing.
    case paged(PagedBytes)

    /// The size in bytes, whether they are here or not.
    public var byteCount: UInt64 {
      switch self {
      case .inline(let bytes): UInt64(bytes.count)
      case .paged(let pages): pages.byteCount
      }
    }
  }
}
