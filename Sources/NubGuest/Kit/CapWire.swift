import NubCap

/// The two questions that the guest asks of a cap's wire form. The views check the bytes in place; nothing is copied.
enum CapWire {
  /// The hash of a valid cap; nil for bytes that are none.
  static func hash(_ wire: UnsafeRawBufferPointer) -> CapHash? {
    guard let view = try? CapView(validating: wire.bytes) else { return nil }
    return view.hashTreeRoot()
  }

  /// The bytes of a valid Data cap; nil for another kind. `wire` comes out of the directory, so it was valid once; it is
  /// checked again because that costs nothing for a Data cap and code that has been taken over may have changed it.
  static func dataBytes(_ wire: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard let view = try? CapView(validating: wire.bytes), let range = view.dataRange else { return nil }
    return UnsafeRawBufferPointer(rebasing: wire[range])
  }
}
