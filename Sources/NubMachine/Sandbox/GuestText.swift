/// Text that a guest wrote, for logs and errors.
enum GuestText {
  /// Bytes as text that cannot forge anything where it is shown: control characters would begin lines and steer terminals,
  /// and marks of direction would turn the text around them.
  static func plain(_ bytes: UnsafeRawBufferPointer) -> String {
    // Nearly every text is plain ASCII, which needs one pass.
    if unsafe bytes.allSatisfy({ $0 >= 32 && $0 < 127 }) {
      return unsafe String(decoding: bytes, as: UTF8.self)
    }
    var text = ""
    for scalar in unsafe String(decoding: bytes, as: UTF8.self).unicodeScalars {
      switch scalar.value {
      case 0..<32, 127..<160, 0x200e, 0x200f, 0x061c, 0x2028...0x202e, 0x2066...0x2069:
        text.unicodeScalars.append(" ")
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
