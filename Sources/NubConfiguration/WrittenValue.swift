internal import NubJSON

/// A JSON value as it is written in a file: valid, and not yet taken for anything, so that nothing becomes what it was not.
struct WrittenValue {
  let bytes: [UInt8]

  var text: String? {
    var scanner = JSONScanner()
    return Self.text(in: bytes.span.bytes, &scanner)
  }

  /// Nil for 5.0 and 5e0, too.
  var integer: Int? { Int(String(decoding: bytes, as: UTF8.self)) }

  var flag: Bool? {
    switch String(decoding: bytes, as: UTF8.self) {
    case "true": true
    case "false": false
    default: nil
    }
  }

  /// A single text is a list of one.
  var texts: [String]? {
    if let text { return [text] }
    var texts: [String?] = []
    var scanner = JSONScanner()
    let span = bytes.span.bytes
    do throws(JSONError) {
      try scanner.array(in: span, expected: "a list") { (scanner) throws(JSONError) in
        texts.append(Self.text(in: span, &scanner))
        if texts.last == .some(nil) { try scanner.skipValue(in: span, depth: 1) }
      }
    } catch {
      return nil
    }
    return texts.contains(nil) ? nil : texts.compactMap { $0 }
  }

  /// The text in front of the scanner; nil where something else is.
  private static func text(in span: RawSpan, _ scanner: inout JSONScanner) -> String? {
    var text: [UInt8] = []
    do throws(JSONError) {
      try scanner.string(in: span, expected: "a text") { piece in
        piece.withUnsafeBytes { text.append(contentsOf: $0) }
      }
    } catch {
      return nil
    }
    return String(decoding: text, as: UTF8.self)
  }
}

extension WrittenValue: CustomStringConvertible {
  /// As much as has room in a message.
  var description: String {
    let text = String(decoding: bytes, as: UTF8.self)
    return text.count > 80 ? "\(text.prefix(80))…" : text
  }
}
