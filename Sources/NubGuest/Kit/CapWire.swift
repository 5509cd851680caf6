import NubCap
/// TEMPORARY
enum CapWire {
  static func hash(_ wire: UnsafeRawBufferPointer) -> CapHash? { SHA256.hash(wire) }
  static func dataBytes(_ wire: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    guard wire.count >= 5, wire[0] == 2 else { return nil }
    return UnsafeRawBufferPointer(rebasing: wire[5...])
  }
}
