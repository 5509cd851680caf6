internal import NubJSON

/// A JSON value whose integers keep all 64 bits, and whose objects keep the order in which they were made.
enum JSONValue {
  case object([(key: String, value: JSONValue)])
  case array([JSONValue])
  case string(String)
  case integer(UInt64)
  /// A number that is negative, fractional or too large: nowhere allowed, kept to say so.
  case otherNumber(Double)
  case bool(Bool)
  case null
}

extension JSONValue: Decodable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  init(from decoder: any Decoder) throws {
    if let object = try? decoder.container(keyedBy: Key.self) {
      self = .object(
        try object.allKeys.map { ($0.stringValue, try object.decode(JSONValue.self, forKey: $0)) })
      return
    }
    if var array = try? decoder.unkeyedContainer() {
      var values: [JSONValue] = []
      while !array.isAtEnd { values.append(try array.decode(JSONValue.self)) }
      self = .array(values)
      return
    }
    let single = try decoder.singleValueContainer()
    if single.decodeNil() {
      self = .null
    } else if let bool = try? single.decode(Bool.self) {
      self = .bool(bool)
    } else if let integer = try? single.decode(UInt64.self) {
      self = .integer(integer)
    } else if let number = try? single.decode(Double.self) {
      self = .otherNumber(number)
    } else {
      self = .string(try single.decode(String.self))
    }
  }
}

/// Writes JSON for people: what has only plain values in it on one line, everything else indented.
enum JSONText {
  static func text(of value: JSONValue, indent: String = "") -> String {
    switch value {
    case .object(let members):
      if members.isEmpty { return "{}" }
      let texts = members.map { "\(quoted($0.key)): \(text(of: $0.value, indent: indent + "  "))" }
      return wrapped(
        texts, "{", "}", flat: members.allSatisfy { isPlain($0.value) } && !indent.isEmpty, indent)
    case .array(let values):
      if values.isEmpty { return "[]" }
      let texts = values.map { text(of: $0, indent: indent + "  ") }
      return wrapped(texts, "[", "]", flat: values.allSatisfy(isPlain), indent)
    case .string(let string): return quoted(string)
    // JavaScript and the tools that follow it keep 53 bits of a number.
    case .integer(let integer):
      return integer < 1 << 53 ? String(integer) : "\"0x\(String(integer, radix: 16))\""
    case .otherNumber(let number): return String(number)
    case .bool(let bool): return bool ? "true" : "false"
    case .null: return "null"
    }
  }

  private static func wrapped(
    _ texts: [String], _ open: String, _ close: String, flat: Bool, _ indent: String
  ) -> String {
    if flat { return open + texts.joined(separator: ", ") + close }
    let inner = indent + "  "
    return "\(open)\n\(inner)" + texts.joined(separator: ",\n\(inner)") + "\n\(indent)\(close)"
  }

  private static func isPlain(_ value: JSONValue) -> Bool {
    switch value {
    case .object, .array: false
    case .string, .integer, .otherNumber, .bool, .null: true
    }
  }

  /// Controls of both sets, what turns the direction of writing or shows nothing, and what ends a line or a paragraph.
  static func mustBeEscaped(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }

  /// With what a terminal might obey escaped as well.
  private static func quoted(_ string: String) -> String {
    JSONString.quoted(string, escaping: mustBeEscaped)
  }
}
