/// A position in a JSON text (RFC 8259), moved on by reading. It owns nothing and allocates nothing; every look at the text
/// is checked against its end.
///
/// Written for one purpose, the options of a job: objects and arrays are walked with closures, scalars are read as the caller
/// expects them, everything else is validated and skipped.
struct JSONScanner {
  /// How deep values may be nested. Skipping recurses, and a job's options have no use for more.
  static let maximumDepth = 32

  private var position = 0

  /// Reads the whole text as one object, and nothing after it. `member` is called for each key, with the scanner in front of its
  /// value, and must read or skip that. The key is nil if it is longer than 64 bytes.
  mutating func object(
    in bytes: RawSpan, member: (inout JSONScanner, ShortBytes?) throws(OptionsError) -> Void
  ) throws(OptionsError) {
    skipSpace(bytes)
    try members(in: bytes, member)
    skipSpace(bytes)
    guard position == bytes.byteCount else { throw malformed("text after the object") }
  }

  /// Reads an array; `element` is called in front of each element, and must read or skip it.
  mutating func array(
    in bytes: RawSpan, expected: StaticString, element: (inout JSONScanner) throws(OptionsError) -> Void
  ) throws(OptionsError) {
    guard take(0x5B, bytes) else { throw OptionsError("options: \(expected)") }
    skipSpace(bytes)
    if take(0x5D, bytes) { return }
    while true {
      skipSpace(bytes)
      try element(&self)
      skipSpace(bytes)
      if take(0x5D, bytes) { return }
      guard take(0x2C, bytes) else { throw malformed("a comma or ] was expected") }
    }
  }

  /// Reads an integer from 0 to 2^64-1, written without fraction or exponent.
  mutating func unsignedInteger(
    in bytes: RawSpan, expected: () -> StaticString
  ) throws(OptionsError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    while let byte = peek(bytes), (0x30...0x39).contains(byte) {
      let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, over) = product.addingReportingOverflow(UInt64(byte - 0x30))
      guard !tooLarge, !over else { throw OptionsError("options: \(expected())") }
      value = sum
      position += 1
    }
    let digits = position - start
    // RFC 8259, section 6: no leading zeros.
    guard digits > 0, digits == 1 || bytes[start] != 0x30 else {
      throw OptionsError("options: \(expected())")
    }
    if let byte = peek(bytes), byte == 0x2E || byte == 0x65 || byte == 0x45 {
      throw OptionsError("options: \(expected())")
    }
    return value
  }

  mutating func boolean(in bytes: RawSpan, expected: () -> StaticString) throws(OptionsError) -> Bool {
    if takeWord("true", bytes) { return true }
    if takeWord("false", bytes) { return false }
    throw OptionsError("options: \(expected())")
  }

  /// Reads a string of at most 64 bytes, escapes resolved.
  mutating func shortString(
    in bytes: RawSpan, expected: () -> StaticString
  ) throws(OptionsError) -> ShortBytes {
    guard peek(bytes) == 0x22, let text = try string(in: bytes) else {
      throw OptionsError("options: \(expected())")
    }
    return text
  }

  /// Validates one value of any type and moves behind it.
  mutating func skipValue(in bytes: RawSpan, depth: Int) throws(OptionsError) {
    guard depth <= Self.maximumDepth else { throw malformed("nested deeper than \(Self.maximumDepth)") }
    switch peek(bytes) {
    case 0x7B:
      try members(in: bytes) { (scanner, _) throws(OptionsError) in
        try scanner.skipValue(in: bytes, depth: depth + 1)
      }
    case 0x5B:
      try array(in: bytes, expected: "an array") { (scanner) throws(OptionsError) in
        try scanner.skipValue(in: bytes, depth: depth + 1)
      }
    case 0x22: _ = try string(in: bytes)
    case 0x74 where takeWord("true", bytes): break
    case 0x66 where takeWord("false", bytes): break
    case 0x6E where takeWord("null", bytes): break
    case 0x2D, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39: try skipNumber(bytes)
    default: throw malformed("a value was expected")
    }
  }

  // MARK: The grammar

  private mutating func members(
    in bytes: RawSpan, _ member: (inout JSONScanner, ShortBytes?) throws(OptionsError) -> Void
  ) throws(OptionsError) {
    guard take(0x7B, bytes) else { throw malformed("an object was expected") }
    skipSpace(bytes)
    if take(0x7D, bytes) { return }
    while true {
      skipSpace(bytes)
      guard peek(bytes) == 0x22 else { throw malformed("a key was expected") }
      let key = try string(in: bytes)
      skipSpace(bytes)
      guard take(0x3A, bytes) else { throw malformed("a colon was expected") }
      skipSpace(bytes)
      try member(&self, key)
      skipSpace(bytes)
      if take(0x7D, bytes) { return }
      guard take(0x2C, bytes) else { throw malformed("a comma or } was expected") }
    }
  }

  private mutating func skipNumber(_ bytes: RawSpan) throws(OptionsError) {
    _ = take(0x2D, bytes)
    let start = position
    guard skipDigits(bytes) else { throw malformed("a digit was expected") }
    if bytes[start] == 0x30, position - start > 1 { throw malformed("a number starts with 0") }
    if take(0x2E, bytes) {
      guard skipDigits(bytes) else { throw malformed("a digit was expected") }
    }
    if take(0x65, bytes) || take(0x45, bytes) {
      if !take(0x2B, bytes) { _ = take(0x2D, bytes) }
      guard skipDigits(bytes) else { throw malformed("a digit was expected") }
    }
  }

  private mutating func skipDigits(_ bytes: RawSpan) -> Bool {
    let start = position
    while let byte = peek(bytes), (0x30...0x39).contains(byte) { position += 1 }
    return position > start
  }

  /// The scanner is in front of the opening quote. nil for a valid string of more than 64 bytes.
  private mutating func string(in bytes: RawSpan) throws(OptionsError) -> ShortBytes? {
    position += 1
    var text = ShortBytes()
    var fits = true
    func add(_ byte: UInt8) { if fits { fits = text.append(byte) } }
    while let byte = peek(bytes) {
      switch byte {
      case 0x22:
        position += 1
        return fits ? text : nil
      case 0x5C:
        position += 1
        try escape(in: bytes, add)
      case 0..<0x20:
        throw malformed("a control character in a string")
      case 0x20..<0x80:
        position += 1
        add(byte)
      default:
        let length = UTF8Sequence.length(in: bytes, at: position)
        guard length > 0 else { throw malformed("not valid UTF-8") }
        for offset in 0..<length { add(bytes[position + offset]) }
        position += length
      }
    }
    throw malformed("a string without end")
  }

  private mutating func escape(in bytes: RawSpan, _ add: (UInt8) -> Void) throws(OptionsError) {
    guard let byte = peek(bytes) else { throw malformed("a string without end") }
    position += 1
    switch byte {
    case 0x22, 0x5C, 0x2F: add(byte)
    case 0x62: add(0x08)
    case 0x66: add(0x0C)
    case 0x6E: add(0x0A)
    case 0x72: add(0x0D)
    case 0x74: add(0x09)
    case 0x75:
      var value = try hexDigits(bytes)
      // A surrogate pair is one character; a surrogate alone is none (RFC 8259, section 8.2).
      if (0xD800..<0xDC00).contains(value) {
        guard take(0x5C, bytes), take(0x75, bytes) else { throw malformed("half a surrogate pair") }
        let low = try hexDigits(bytes)
        guard (0xDC00..<0xE000).contains(low) else { throw malformed("half a surrogate pair") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw malformed("half a surrogate pair") }
      for byte in String(scalar).utf8 { add(byte) }
    default: throw malformed("an unknown escape")
    }
  }

  private mutating func hexDigits(_ bytes: RawSpan) throws(OptionsError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(bytes) else { throw malformed("a string without end") }
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw malformed("a hex digit was expected")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private mutating func skipSpace(_ bytes: RawSpan) {
    while let byte = peek(bytes), byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
      position += 1
    }
  }

  private mutating func take(_ byte: UInt8, _ bytes: RawSpan) -> Bool {
    guard peek(bytes) == byte else { return false }
    position += 1
    return true
  }

  private mutating func takeWord(_ word: StaticString, _ bytes: RawSpan) -> Bool {
    let count = word.utf8CodeUnitCount
    guard bytes.byteCount - position >= count else { return false }
    for index in 0..<count where bytes[position + index] != word.utf8Start[index] { return false }
    position += count
    return true
  }

  private func peek(_ bytes: RawSpan) -> UInt8? {
    position < bytes.byteCount ? bytes[position] : nil
  }

  private func malformed(_ what: String) -> OptionsError {
    OptionsError("options: not a JSON object: \(what) at byte \(position)")
  }
}

extension RawSpan {
  /// The byte at `offset`, which must lie inside; checked.
  @inline(__always)
  fileprivate subscript(offset: Int) -> UInt8 {
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
