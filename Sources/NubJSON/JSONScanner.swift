/// A position in a JSON text (RFC 8259), moved on by reading. It owns nothing and allocates nothing; every look at the text
/// is checked against its end.
///
/// Written for one purpose, the options of a job, which broker and worker have to understand alike: objects and arrays are walked
/// with closures, scalars are read as the caller expects them, everything else is validated and skipped. Text is handed out in
/// pieces, with escapes resolved.
public struct JSONScanner {
  /// How deep values may be nested. Skipping recurses, and a job's options have no use for more.
  public static let maximumDepth = 32

  /// Bytes read so far; after an error, where it is.
  public private(set) var position = 0

  public init() {}

  /// Reads the whole text as one object, and nothing after it. `member` is called in front of each member, and must read its
  /// ``key(in:_:)`` and read or skip its value.
  public mutating func object(
    in bytes: RawSpan, member: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    skipSpace(bytes)
    try members(in: bytes, member)
    skipSpace(bytes)
    guard position == bytes.byteCount else { throw malformed("text after the object") }
  }

  /// Reads an array; `element` is called in front of each element, and must read or skip it.
  public mutating func array(
    in bytes: RawSpan, expected: StaticString, element: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    guard take(0x5B, bytes) else { throw JSONError("\(expected)") }
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

  /// Reads a member's key and the colon behind it.
  public mutating func key(in bytes: RawSpan, _ piece: (RawSpan) -> Void) throws(JSONError) {
    guard peek(bytes) == 0x22 else { throw malformed("a key was expected") }
    try text(in: bytes, piece)
    skipSpace(bytes)
    guard take(0x3A, bytes) else { throw malformed("a colon was expected") }
    skipSpace(bytes)
  }

  /// Reads a string.
  public mutating func string(
    in bytes: RawSpan, expected: StaticString, _ piece: (RawSpan) -> Void
  ) throws(JSONError) {
    guard peek(bytes) == 0x22 else { throw JSONError("\(expected)") }
    try text(in: bytes, piece)
  }

  /// Reads an integer from 0 to 2^64-1, written without fraction or exponent.
  public mutating func unsignedInteger(in bytes: RawSpan, expected: StaticString) throws(JSONError) -> UInt64
  {
    let start = position
    var value: UInt64 = 0
    while let byte = peek(bytes), (0x30...0x39).contains(byte) {
      let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, over) = product.addingReportingOverflow(UInt64(byte - 0x30))
      guard !tooLarge, !over else { throw JSONError("\(expected)") }
      value = sum
      position += 1
    }
    let digits = position - start
    // RFC 8259, section 6: no leading zeros.
    guard digits > 0, digits == 1 || bytes[start] != 0x30 else { throw JSONError("\(expected)") }
    if let byte = peek(bytes), byte == 0x2E || byte == 0x65 || byte == 0x45 {
      throw JSONError("\(expected)")
    }
    return value
  }

  public mutating func boolean(in bytes: RawSpan, expected: StaticString) throws(JSONError) -> Bool {
    if takeWord("true", bytes) { return true }
    if takeWord("false", bytes) { return false }
    throw JSONError("\(expected)")
  }

  /// Validates one value of any type and moves behind it.
  public mutating func skipValue(in bytes: RawSpan, depth: Int) throws(JSONError) {
    guard depth <= Self.maximumDepth else { throw malformed("nested deeper than \(Self.maximumDepth)") }
    switch peek(bytes) {
    case 0x7B:
      try members(in: bytes) { (scanner) throws(JSONError) in
        try scanner.key(in: bytes) { _ in }
        try scanner.skipValue(in: bytes, depth: depth + 1)
      }
    case 0x5B:
      try array(in: bytes, expected: "an array") { (scanner) throws(JSONError) in
        try scanner.skipValue(in: bytes, depth: depth + 1)
      }
    case 0x22: try text(in: bytes) { _ in }
    case 0x74 where takeWord("true", bytes): break
    case 0x66 where takeWord("false", bytes): break
    case 0x6E where takeWord("null", bytes): break
    case 0x2D, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39: try skipNumber(bytes)
    default: throw malformed("a value was expected")
    }
  }

  // MARK: The grammar

  private mutating func members(
    in bytes: RawSpan, _ member: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    guard take(0x7B, bytes) else { throw malformed("an object was expected") }
    skipSpace(bytes)
    if take(0x7D, bytes) { return }
    while true {
      skipSpace(bytes)
      try member(&self)
      skipSpace(bytes)
      if take(0x7D, bytes) { return }
      guard take(0x2C, bytes) else { throw malformed("a comma or } was expected") }
    }
  }

  private mutating func skipNumber(_ bytes: RawSpan) throws(JSONError) {
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

  /// The scanner is in front of the opening quote. What stands as it is meant is handed out as one piece up to the next escape.
  private mutating func text(in bytes: RawSpan, _ piece: (RawSpan) -> Void) throws(JSONError) {
    position += 1
    var start = position
    while let byte = peek(bytes) {
      switch byte {
      case 0x22:
        piece(bytes.extracting(start..<position))
        position += 1
        return
      case 0x5C:
        piece(bytes.extracting(start..<position))
        position += 1
        try escape(in: bytes, piece)
        start = position
      case 0..<0x20:
        throw malformed("a control character in a string")
      case 0x20..<0x80:
        position += 1
      default:
        let length = UTF8Sequence.length(in: bytes, at: position)
        guard length > 0 else { throw malformed("not valid UTF-8") }
        position += length
      }
    }
    throw malformed("a string without end")
  }

  private mutating func escape(in bytes: RawSpan, _ piece: (RawSpan) -> Void) throws(JSONError) {
    guard let byte = peek(bytes) else { throw malformed("a string without end") }
    position += 1
    switch byte {
    case 0x22, 0x5C, 0x2F: Self.hand(out: Unicode.Scalar(byte), to: piece)
    case 0x62: Self.hand(out: "\u{08}", to: piece)
    case 0x66: Self.hand(out: "\u{0C}", to: piece)
    case 0x6E: Self.hand(out: "\n", to: piece)
    case 0x72: Self.hand(out: "\r", to: piece)
    case 0x74: Self.hand(out: "\t", to: piece)
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
      Self.hand(out: scalar, to: piece)
    default: throw malformed("an unknown escape")
    }
  }

  private static func hand(out scalar: Unicode.Scalar, to piece: (RawSpan) -> Void) {
    var units = InlineArray<4, UInt8>(repeating: 0)
    var count = 0
    for unit in String(scalar).utf8 {
      units[count] = unit
      count += 1
    }
    piece(units.span.bytes.extracting(first: count))
  }

  private mutating func hexDigits(_ bytes: RawSpan) throws(JSONError) -> UInt32 {
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

  private func malformed(_ what: String) -> JSONError {
    JSONError("not a JSON object: \(what) at byte \(position)")
  }
}

/// Why a text was refused, in words for whoever sent it.
public struct JSONError: Error, Equatable {
  public var message: String
  public init(_ message: String) { self.message = message }
}
