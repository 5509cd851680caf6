extension Cap {
  /// The cap's name: SSZ's `hash_tree_root` of the union.
  ///
  /// Paged data is hashed as it is, missing pages by their roots. The other kinds are small next to the data that they
  /// refer to; they are encoded and hashed from there, so the rules of the format and the shape of the tree are each
  /// written down once.
  ///
  /// - Throws: `unresolvedReference` for what has no hash; otherwise the rule that is broken.
  public func hashTreeRoot() throws(CapError) -> CapHash {
    switch self {
    case .data(let data):
      return try data.hashTreeRoot()
    case .type(let type):
      return Merkle.mixInSelector(type.imageHashChain, .type)
    case .instance, .image, .cnode:
      let wire = try encodedUnchecked()
      return try unsafe CapView(validating: wire.span.bytes).hashTreeRoot()
    }
  }
}

extension Cap.Data {
  func hashTreeRoot() throws(CapError) -> CapHash {
    guard byteCount <= CapLimits.dataBytes else {
      throw CapError(.overLimit, "Data.bytes", value: byteCount, limit: CapLimits.dataBytes)
    }
    switch self {
    case .inline(let bytes): return unsafe Cap.Data.hashTreeRoot(of: bytes.span.bytes)
    case .paged(let paged): return Merkle.mixInSelector(paged.listRoot(), .data)
    }
  }

  /// The name of the Data cap that has these bytes, at most 2^32 of them.
  public static func hashTreeRoot(of bytes: RawSpan) -> CapHash {
    var scratch = MerkleScratch()
    // A container of one field has that field's root.
    let list = Merkle.byteListRoot(bytes, limit: .data, &scratch)
    return Merkle.mixInSelector(list, .data)
  }
}
