import Foundation
import NubCap

/// A value of a description, and where it stands in it.
struct JSONField {
  let value: JSONValue
  let path: String

  func error(_ code: CapJSONError.Code, _ message: String) -> CapJSONError {
    CapJSONError(code, path: path, message)
  }

  /// An unsigned integer, as a number or as text, that fits `Integer`.
  func integer<Integer: FixedWidthInteger & UnsignedInteger>(
    _ type: Integer.Type
  ) throws(CapJSONError) -> Integer {
    let wide: UInt64?
    switch value {
    case .integer(let integer): wide = integer
    case .string(let text):
      wide = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text, radix: 10)
    default: wide = nil
    }
    guard let wide, let integer = Integer(exactly: wide) else {
      throw error(.badValue, "wants an integer from 0 to \(Integer.max), as a number or as text (\"0x10\")")
    }
    return integer
  }

  func string() throws(CapJSONError) -> String {
    guard case .string(let text) = value else { throw error(.wrongType, "wants text") }
    return text
  }

  func hash() throws(CapJSONError) -> CapHash {
    guard let hash = CapHash(hex: try string()) else {
      throw error(.badValue, "wants a hash: 64 hexadecimal digits")
    }
    return hash
  }

  func array() throws(CapJSONError) -> [JSONField] {
    guard case .array(let values) = value else { throw error(.wrongType, "wants an array") }
    return values.enumerated().map { JSONField(value: $1, path: "\(path)[\($0)]") }
  }

  func registers() throws(CapJSONError) -> Cap.Registers {
    let values = try array()
    guard values.count <= 32 else { throw error(.badValue, "has \(values.count) registers, there are 32") }
    var registers = Cap.Registers()
    for (index, value) in values.enumerated() { registers[index] = try value.integer(UInt64.self) }
    return registers
  }

  func bytes(readFile: (String) throws -> [UInt8]) throws(CapJSONError) -> [UInt8] {
    let text = try string()
    if text.hasPrefix("@") {
      let file = String(text.dropFirst())
      do {
        return try readFile(file)
      } catch {
        throw CapJSONError(.unreadableFile, path: path, "cannot read \(file)", cause: error)
      }
    }
    if text.hasPrefix("utf8:") { return [UInt8](text.utf8.dropFirst(5)) }
    if text.hasPrefix("base64:") {
      guard let data = Data(base64Encoded: String(text.dropFirst(7))) else {
        throw error(.badValue, "what follows \"base64:\" is not base64")
      }
      return [UInt8](data)
    }
    if text.hasPrefix("hex:") {
      guard let bytes = JSONField.bytes(hex: text.utf8.dropFirst(4)) else {
        throw error(.badValue, "what follows \"hex:\" is not pairs of hexadecimal digits")
      }
      return bytes
    }
    throw error(.badValue, "wants bytes as \"hex:...\", \"base64:...\", \"utf8:...\" or \"@path\"")
  }

  private static func bytes(hex digits: Substring.UTF8View) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    var high: UInt8?
    for digit in digits {
      guard let value = Character(UnicodeScalar(digit)).hexDigitValue else { return nil }
      if let first = high {
        bytes.append(first << 4 | UInt8(value))
        high = nil
      } else {
        high = UInt8(value)
      }
    }
    return high == nil ? bytes : nil
  }
}

/// The fields of an object, of which each is taken once.
struct JSONFields {
  private var fields: [String: JSONValue] = [:]
  private let path: String

  init(_ field: JSONField) throws(CapJSONError) {
    guard case .object(let members) = field.value else { throw field.error(.wrongType, "wants an object") }
    path = field.path
    for (key, value) in members { fields[key] = value }
  }

  private func fieldPath(_ name: String) -> String {
    path.isEmpty ? name : "\(path).\(name)"
  }

  /// The field `name`; nil if it is absent or null.
  mutating func take(_ name: String) -> JSONField? {
    guard let value = fields.removeValue(forKey: name) else { return nil }
    if case .null = value { return nil }
    return JSONField(value: value, path: fieldPath(name))
  }

  mutating func need(_ name: String) throws(CapJSONError) -> JSONField {
    guard let field = take(name) else {
      throw CapJSONError(.missingField, path: fieldPath(name), "is missing")
    }
    return field
  }

  /// Refuses what nobody took: most likely a misspelt name.
  func finish() throws(CapJSONError) {
    guard let name = fields.keys.min() else { return }
    throw CapJSONError(.unknownField, path: fieldPath(name), "is not a field of this kind of cap")
  }
}
