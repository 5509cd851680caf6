extension GuestImage {
  /// nub's own image, which lies inside this binary.
  public static func builtIn() throws(MachineError) -> GuestImage {
    guard let bytes = decodeBase64(builtInGuestImageBase64) else {
      throw GuestImage.invalid("the built-in image is damaged; build nub again")
    }
    return try GuestImage(bytes)
  }

  /// RFC 4648, section 4, without line breaks.
  private static func decodeBase64(_ text: StaticString) -> [UInt8]? {
    text.withUTF8Buffer { characters -> [UInt8]? in
      var bytes: [UInt8] = []
      bytes.reserveCapacity(characters.count / 4 * 3)
      var word: UInt32 = 0
      var bits = 0
      let characters = unsafe characters.span
      for index in characters.indices where characters[index] != UInt8(ascii: "=") {
        let character = characters[index]
        let value: UInt8
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        default: return nil
        }
        word = word << 6 | UInt32(value)
        bits += 6
        if bits >= 8 {
          bits -= 8
          bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
        }
      }
      return bytes
    }
  }
}
