/// A question to a page: GET or HEAD, without a body. Everything else the ``HTTPServer`` refuses itself.
public struct PageRequest: Sendable, Equatable {
  /// Percent-encoded, as it came: holds no `?`.
  public var path: String
  /// Behind the `?`, percent-encoded; empty where there is none.
  public var query: String

  public init(path: String, query: String = "") {
    self.path = path
    self.query = query
  }

  /// From a request's target (RFC 9112, section 3.2.1).
  init(target: String) {
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    self.init(path: parts.first.map(String.init) ?? "", query: parts.count > 1 ? String(parts[1]) : "")
  }

  /// The names of the query's parameters, decoded where that is possible.
  public var parameterNames: [String] {
    query.split(separator: "&").compactMap { pair in
      let name = pair.prefix { $0 != "=" }
      return name.isEmpty ? nil : Percent.decode(name, plusIsSpace: true) ?? String(name)
    }
  }

  /// The value of a query parameter, decoded as HTML forms encode it; nil if it is absent or not valid.
  public func parameter(_ name: String) -> String? {
    for pair in query.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.first.map({ Percent.decode($0, plusIsSpace: true) }) == name else { continue }
      return Percent.decode(parts.count > 1 ? parts[1] : "", plusIsSpace: true)
    }
    return nil
  }
}

/// Percent-encoding (RFC 3986, section 2.1).
public enum Percent {
  /// - Returns: nil where a `%` is not followed by two hex digits, or where the bytes are not UTF-8.
  public static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
    guard let bytes = decodeBytes(text, plusIsSpace: plusIsSpace) else { return nil }
    return String(validating: bytes, as: UTF8.self)
  }

  static func decodeBytes(_ text: some StringProtocol, plusIsSpace: Bool = false) -> [UInt8]? {
    var bytes: [UInt8] = []
    var rest = text.utf8.makeIterator()
    while let byte = rest.next() {
      if byte == UInt8(ascii: "%") {
        guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit) else { return nil }
        bytes.append(high << 4 | low)
      } else {
        bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      }
    }
    return bytes
  }

  /// Leaves nothing but unreserved characters as they are, so that the result fits anywhere in a URL.
  public static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        text.append(byte)
      default:
        text.append(contentsOf: [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]])
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private static func digit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
