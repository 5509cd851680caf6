extension RawSpan {
  /// The byte at `offset`, which must lie inside; checked.
  @inline(__always)
  subscript(offset: Int) -> UInt8 {
    // Any bits are a UInt8, and the load checks the bounds.
    unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }
}

/// Multi-byte sequences of UTF-8 (the Unicode Standard, table 3-7).
enum UTF8Sequence {
  /// The length, 2 to 4, of the well-formed sequence at `position`; 0 if there is none.
  static func length(in bytes: RawSpan, at position: Int) -> Int {
    func byte(_ offset: Int) -> UInt8 {
      position + offset < bytes.byteCount ? bytes[position + offset] : 0
    }
    let second = byte(1)
    switch byte(0) {
    case 0xC2...0xDF: return isContinuation(second) ? 2 : 0
    case 0xE0: return (0xA0...0xBF).contains(second) && isContinuation(byte(2)) ? 3 : 0
    case 0xED: return (0x80...0x9F).contains(second) && isContinuation(byte(2)) ? 3 : 0
    case 0xE1...0xEF: return isContinuation(second) && isContinuation(byte(2)) ? 3 : 0
    case 0xF0: return (0x90...0xBF).contains(second) && tail(byte(2), byte(3)) ? 4 : 0
    case 0xF1...0xF3: return isContinuation(second) && tail(byte(2), byte(3)) ? 4 : 0
    case 0xF4: return (0x80...0x8F).contains(second) && tail(byte(2), byte(3)) ? 4 : 0
    default: return 0
    }
  }

  private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }
  private static func tail(_ a: UInt8, _ b: UInt8) -> Bool { isContinuation(a) && isContinuation(b) }
}
