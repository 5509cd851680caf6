internal import NubCap

/// What the host found out about a cap's wire form. Its word counts, not the guest's: code that has taken a guest over must not be
/// able to file bytes under a wrong name.
struct CheckedCap: Sendable {
  var hash: CapHash
  var kind: CapKind
  var references: [CapHash]

  /// Decodes and hashes; reads the bytes once each, copies none.
  init(_ wire: UnsafeRawBufferPointer) throws(CapError) {
    let view = try CapView(validating: wire.bytes)
    kind = view.kind
    references = view.references
    hash = view.hashTreeRoot()
  }
}
