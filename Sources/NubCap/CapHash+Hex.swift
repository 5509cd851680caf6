#if !hasFeature(Embedded)
  extension CapHash {
    /// 64 lower-case hexadecimal digits.
    public var hex: String {
      unsafe String(unsafeUninitializedCapacity: 2 * CapHash.byteCount) { text in
        unsafe withUnsafeBytes { bytes in
          for index in 0..<CapHash.byteCount {
            let byte = unsafe bytes[index]
            unsafe text[2 * index] = CapHash.digit(byte >> 4)
            unsafe text[2 * index + 1] = CapHash.digit(byte & 15)
          }
        }
        return 2 * CapHash.byteCount
      }
    }

    /// The hash that 64 hexadecimal digits of either case spell; nil for anything else.
    public init?(hex: some StringProtocol) {
      self = .zero
      var position = 0
      let complete = unsafe Swift.withUnsafeMutableBytes(of: &words) { (bytes) -> Bool in
        for character in hex.utf8 {
          guard position < 2 * CapHash.byteCount, let value = CapHash.value(ofDigit: character) else {
            return false
          }
          unsafe bytes[position / 2] = bytes[position / 2] << 4 | value
          position += 1
        }
        return position == 2 * CapHash.byteCount
      }
      guard complete else { return nil }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
      value < 10 ? 0x30 + value : 0x61 + value - 10
    }

    private static func value(ofDigit character: UInt8) -> UInt8? {
      switch character {
      case 0x30...0x39: character - 0x30
      case 0x41...0x46: character - 0x41 + 10
      case 0x61...0x66: character - 0x61 + 10
      default: nil
      }
    }
  }

  extension CapHash: CustomStringConvertible {
    public var description: String { hex }
  }
#endif
