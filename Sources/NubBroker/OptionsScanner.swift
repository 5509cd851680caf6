/// What a broker reads of a job's options frame: strictly one JSON object (RFC 8259), because a text that broker and worker
/// understood differently would let a producer name another's tenant.
///
/// Owns nothing but what it found; every look is checked against the text's end. Strings are compared with escapes resolved.
struct OptionsScanner {
  /// How deep values may be nested; deeper ones are refused, as workers do.
  private static let maximumDepth = 32
  /// Bytes of an options frame, by the job protocol.
  static let maximumBytes = 64 << 10

  struct Malformed: Error, Equatable {
    var message: String
  }

  private(set) var tenant: [UInt8]?
  /// 0 to 9, 5 unless said.
  private(set) var priority: UInt8 = 5
  private(set) var expiresAtMilliseconds: UInt64?
  /// Whether the object has no members, which matters to whoever adds one.
  private(set) var isEmpty = true
  /// The position of the object's `{`.
  private(set) var start = 0

  private let bytes: UnsafeRawBufferPointer
  private var position = 0
  private var seen: Set<[UInt8]> = []

  /// Reads `bytes`, which are looked at during this call alone. No bytes at all are no options.
  init(_ bytes: UnsafeRawBufferPointer) throws(Malformed) {
    self.bytes = bytes
    defer { position = bytes.count }
    guard bytes.count <= Self.maximumBytes else {
      throw Malformed(message: "options of more than 65536 bytes")
    }
    if bytes.isEmpty { return }
    space()
    start = position
    try object(depth: 0, isTop: true)
    space()
    guard position == bytes.count else { throw bad("text after the object") }
  }

  private mutating func object(depth: Int, isTop: Bool) throws(Malformed) {
    guard depth <= Self.maximumDepth else { throw bad("nested too deep") }
    try expect(UInt8(ascii: "{"))
    space()
    if take(UInt8(ascii: "}")) { return }
    if isTop { isEmpty = false }
    while true {
      space()
      let key = try string()
      space()
      try expect(UInt8(ascii: ":"))
      space()
      if isTop { try member(key) } else { try value(depth: depth + 1) }
      space()
      if take(UInt8(ascii: "}")) { return }
      try expect(UInt8(ascii: ","))
    }
  }

  private mutating func member(_ key: [UInt8]) throws(Malformed) {
    switch key {
    case Key.tenant:
      try once(key)
      guard peek == UInt8(ascii: "\"") else {
        throw Malformed(message: "options: tenant is a string of at most 64 bytes")
      }
      let text = try string()
      guard text.count <= 64 else {
        throw Malformed(message: "options: tenant is a string of at most 64 bytes")
      }
      tenant = text
    case Key.priority:
      try once(key)
      guard let value = try integer(), value <= 9 else {
        throw Malformed(message: "options: priority is a whole number from 0 to 9, one digit")
      }
      priority = UInt8(value)
    case Key.expires:
      try once(key)
      guard let value = try integer() else {
        throw Malformed(
          message: "options: expires_at_ms is a Unix time in milliseconds, a whole number in digits alone")
      }
      expiresAtMilliseconds = value
    default: try value(depth: 1)
    }
  }

  private enum Key {
    static let tenant = Array("tenant".utf8)
    static let priority = Array("priority".utf8)
    static let expires = Array("expires_at_ms".utf8)
  }

  /// Two readers that pick different ones of two would not agree.
  private mutating func once(_ key: [UInt8]) throws(Malformed) {
    guard seen.insert(key).inserted else {
      throw Malformed(message: "options: \"\(String(decoding: key, as: UTF8.self))\" occurs twice")
    }
  }

  private mutating func value(depth: Int) throws(Malformed) {
    guard depth <= Self.maximumDepth else { throw bad("nested too deep") }
    switch peek {
    case UInt8(ascii: "{"): try object(depth: depth, isTop: false)
    case UInt8(ascii: "["):
      position += 1
      space()
      if take(UInt8(ascii: "]")) { return }
      while true {
        space()
        try value(depth: depth + 1)
        space()
        if take(UInt8(ascii: "]")) { return }
        try expect(UInt8(ascii: ","))
      }
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: try number()
    }
  }

  private mutating func word(_ text: StaticString) throws(Malformed) {
    for index in 0..<text.utf8CodeUnitCount { try expect(text.utf8Start[index]) }
  }

  private mutating func number() throws(Malformed) {
    _ = take(UInt8(ascii: "-"))
    let begin = position
    let length = digits()
    guard length > 0 else { throw bad("a value was expected") }
    if length > 1, bytes[begin] == UInt8(ascii: "0") { throw bad("a number starts with 0") }
    if take(UInt8(ascii: ".")), digits() == 0 { throw bad("a digit was expected") }
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
      guard digits() > 0 else { throw bad("a digit was expected") }
    }
  }

  private mutating func digits() -> Int {
    let begin = position
    while let byte = peek, (0x30...0x39).contains(byte) { position += 1 }
    return position - begin
  }

  /// An integer from 0 to 2^64-1 without fraction or exponent; `nil` for anything else that begins there.
  private mutating func integer() throws(Malformed) -> UInt64? {
    let begin = position
    let length = digits()
    guard length > 0 else { return nil }
    if length > 1, bytes[begin] == UInt8(ascii: "0") { return nil }
    if let next = peek, [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(next) {
      return nil
    }
    var result: UInt64 = 0
    for index in begin..<position {
      let (product, over) = result.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[index] - 0x30))
      guard !over, !carry else { return nil }
      result = sum
    }
    return result
  }

  private mutating func string() throws(Malformed) -> [UInt8] {
    try expect(UInt8(ascii: "\""))
    var text: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        // The whole run at once: a cheaper check than one sequence at a time, and as strict.
        guard String(validating: text, as: UTF8.self) != nil else { throw bad("not valid UTF-8") }
        return text
      case UInt8(ascii: "\\"): try escape(&text)
      case 0..<0x20: throw bad("a control character in a string")
      default: text.append(byte)
      }
    }
    throw bad("a string without end")
  }

  private mutating func escape(_ text: inout [UInt8]) throws(Malformed) {
    guard let byte = peek else { throw bad("a string without end") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(8)
    case UInt8(ascii: "f"): text.append(12)
    case UInt8(ascii: "n"): text.append(10)
    case UInt8(ascii: "r"): text.append(13)
    case UInt8(ascii: "t"): text.append(9)
    case UInt8(ascii: "u"):
      var scalar = try hex()
      if (0xD800..<0xDC00).contains(scalar) {
        try expect(UInt8(ascii: "\\"))
        try expect(UInt8(ascii: "u"))
        let low = try hex()
        guard (0xDC00..<0xE000).contains(low) else { throw bad("half a surrogate pair") }
        scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(scalar) else { throw bad("half a surrogate pair") }
      text.append(contentsOf: String(scalar).utf8)
    default: throw bad("an unknown escape")
    }
  }

  private mutating func hex() throws(Malformed) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek else { throw bad("a string without end") }
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw bad("a hex digit was expected")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private mutating func space() {
    while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ byte: UInt8) throws(Malformed) {
    guard take(byte) else { throw bad("'\(Unicode.Scalar(byte))' was expected") }
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func bad(_ what: String) -> Malformed {
    Malformed(message: "options: not a JSON object: \(what) at byte \(position)")
  }
}
