/// What a file of settings can hold. Numbers stay as they were written, so that nothing becomes a whole number by rounding.
enum JSONValue: Equatable {
  case text(String)
  case number(String)
  case bool(Bool)
  case null
  case list([JSONValue])
  /// No setting is one; its members are checked and forgotten.
  case object
}

/// Why a text is refused, and on which line.
struct JSONFault: Error, Equatable {
  let line: Int
  let reason: String
}

/// Reads JSON as RFC 8259 has it, and no more: Foundation takes a comma behind the last member, and of a key that occurs twice one.
struct JSONReader {
  /// Settings are a list deep.
  private static let maximumDepth = 8

  private let bytes: [UInt8]
  private var position = 0

  /// The members of the one object that the text is.
  static func members(of bytes: [UInt8]) throws(JSONFault) -> [(key: String, value: JSONValue)] {
    var reader = JSONReader(bytes: bytes)
    reader.skipSpace()
    let members = try reader.object(depth: 0)
    reader.skipSpace()
    guard reader.peek == nil else { throw reader.fault("there is something behind the object") }
    return members
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func value(depth: Int) throws(JSONFault) -> JSONValue {
    guard depth <= Self.maximumDepth else { throw fault("nested deeper than \(Self.maximumDepth)") }
    switch peek ?? 0 {
    case UInt8(ascii: "\""): return .text(try string())
    case UInt8(ascii: "{"):
      _ = try object(depth: depth)
      return .object
    case UInt8(ascii: "["): return .list(try array(depth: depth))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
    case _ where take("true"): return .bool(true)
    case _ where take("false"): return .bool(false)
    case _ where take("null"): return .null
    default: throw fault("a value was expected")
    }
  }

  private mutating func object(depth: Int) throws(JSONFault) -> [(key: String, value: JSONValue)] {
    guard take("{") else { throw fault("it is not a JSON object") }
    var members: [(key: String, value: JSONValue)] = []
    var keys: Set<String> = []
    skipSpace()
    if take("}") { return members }
    while true {
      skipSpace()
      guard peek == UInt8(ascii: "\"") else { throw fault("a key in quotation marks was expected") }
      let key = try string()
      guard keys.insert(key).inserted else { throw fault("\"\(key)\" occurs twice") }
      skipSpace()
      guard take(":") else { throw fault("a colon was expected behind \"\(key)\"") }
      skipSpace()
      members.append((key, try value(depth: depth + 1)))
      skipSpace()
      if take("}") { return members }
      guard take(",") else { throw fault("a comma or } was expected") }
    }
  }

  private mutating func array(depth: Int) throws(JSONFault) -> [JSONValue] {
    _ = take("[")
    var values: [JSONValue] = []
    skipSpace()
    if take("]") { return values }
    while true {
      skipSpace()
      values.append(try value(depth: depth + 1))
      skipSpace()
      if take("]") { return values }
      guard take(",") else { throw fault("a comma or ] was expected") }
    }
  }

  private mutating func number() throws(JSONFault) -> String {
    let start = position
    _ = take("-")
    let isZero = peek == UInt8(ascii: "0")
    guard let digits = takeDigits(), !isZero || digits == 1 else { throw fault("that is not a number") }
    if take(".") { guard takeDigits() != nil else { throw fault("that is not a number") } }
    if take("e") || take("E") {
      _ = take("+") || take("-")
      guard takeDigits() != nil else { throw fault("that is not a number") }
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private mutating func takeDigits() -> Int? {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position > start ? position - start : nil
  }

  /// In front of the quotation mark.
  private mutating func string() throws(JSONFault) -> String {
    position += 1
    var text: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: text, as: UTF8.self) else { throw fault("not valid UTF-8") }
        return text
      case UInt8(ascii: "\\"): text.append(contentsOf: String(try escape()).utf8)
      case 0..<0x20: throw fault("a control character in a text")
      default: text.append(byte)
      }
    }
    throw fault("a text without end")
  }

  private mutating func escape() throws(JSONFault) -> Unicode.Scalar {
    let plain: [(StaticString, Unicode.Scalar)] = [
      ("\"", "\""), ("\\", "\\"), ("/", "/"), ("b", "\u{8}"), ("f", "\u{C}"), ("n", "\n"), ("r", "\r"),
      ("t", "\t"),
    ]
    for (letter, scalar) in plain where take(letter) { return scalar }
    guard take("u") else { throw fault("an unknown escape in a text") }
    var value = try hexDigits()
    // A surrogate pair is one character; half of one is none (RFC 8259, section 8.2).
    if (0xD800..<0xDC00).contains(value) {
      guard take("\\u") else { throw fault("half a surrogate pair") }
      let low = try hexDigits()
      guard (0xDC00..<0xE000).contains(low) else { throw fault("half a surrogate pair") }
      value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw fault("half a surrogate pair") }
    return scalar
  }

  private mutating func hexDigits() throws(JSONFault) -> UInt32 {
    let digits = bytes[position...].prefix(4)
    // No sign, which the number's own reader would take.
    guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
      let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw fault("four hexadecimal digits were expected") }
    position += 4
    return value
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
  }

  private mutating func take(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    let isNext = word.withUTF8Buffer { bytes[position...].prefix(count).elementsEqual($0) }
    if isNext { position += count }
    return isNext
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func fault(_ reason: String) -> JSONFault {
    JSONFault(line: 1 + bytes.prefix(position).count { $0 == 0x0A }, reason: reason)
  }
}
