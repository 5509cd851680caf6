/// Makes a symbol's name readable: a guest function's own name, and of a mangled Swift name the module, the types and
/// the function (Swift ABI, Mangling.rst; only the part of the grammar that names are made of).
///
/// Names come from an image, which is somebody else's file. So this reads them by itself, with every step bounded,
/// instead of handing them to the runtime's demangler.
enum SymbolName {
  static func readable(_ symbol: String) -> String {
    let bytes = Array(symbol.utf8)
    if symbol.hasPrefix("nub_fn_") {
      let rest = symbol.dropFirst(7).drop { $0.isNumber }
      return rest.count > 1 && rest.first == "_" ? String(rest.dropFirst()) : symbol
    }
    guard symbol.hasPrefix("$e") || symbol.hasPrefix("$s") else { return symbol }
    var parser = Parser(bytes: bytes, position: 2)
    let parts = parser.names()
    return parts.isEmpty ? symbol : parts.joined(separator: ".")
  }

  private struct Parser {
    let bytes: [UInt8]
    var position: Int
    private var words: [String] = []

    init(bytes: [UInt8], position: Int) {
      self.bytes = bytes
      self.position = position
    }

    /// Identifiers up to and including the first that is no type's or extension's.
    mutating func names() -> [String] {
      var names: [String] = []
      if position < bytes.count, bytes[position] == UInt8(ascii: "s") {
        names.append("Swift")
        position += 1
      }
      while names.count < 8, let name = identifier() {
        names.append(name)
        guard position < bytes.count else { break }
        let kind = bytes[position]
        switch kind {
        case UInt8(ascii: "V"), UInt8(ascii: "C"), UInt8(ascii: "O"), UInt8(ascii: "E"): position += 1
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
          // Behind the module its first type follows at once; behind a function's name its labels do.
          if names.count > 1 { return names }
        default: return names
        }
      }
      return names
    }

    /// `<length><characters>`, or with words that occurred before: `0<words><length><characters>`.
    private mutating func identifier() -> String? {
      guard position < bytes.count, isDigit(bytes[position]) else { return nil }
      var text = ""
      if bytes[position] == UInt8(ascii: "0") {
        position += 1
        var isLast = false
        while !isLast, position < bytes.count, let index = wordIndex(bytes[position]) {
          isLast = bytes[position] < UInt8(ascii: "a")
          guard index < words.count else { return nil }
          text += words[index]
          position += 1
        }
        guard position < bytes.count, isDigit(bytes[position]) else { return text.isEmpty ? nil : text }
      }
      var length = 0
      while position < bytes.count, isDigit(bytes[position]) {
        length = length * 10 + Int(bytes[position] - UInt8(ascii: "0"))
        guard length <= bytes.count else { return nil }
        position += 1
      }
      guard length <= bytes.count - position else { return nil }
      let literal = String(decoding: bytes[position..<(position + length)], as: UTF8.self)
      position += length
      collectWords(literal)
      return text + literal
    }

    private mutating func collectWords(_ text: String) {
      var word = ""
      for character in text {
        if character.isUppercase, let last = word.last, !last.isUppercase {
          add(word)
          word = ""
        }
        if character == "_" {
          add(word)
          word = ""
        } else {
          word.append(character)
        }
      }
      add(word)
    }

    private mutating func add(_ word: String) {
      if word.count >= 2, words.count < 26 { words.append(word) }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private func wordIndex(_ byte: UInt8) -> Int? {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(byte - UInt8(ascii: "a"))
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(byte - UInt8(ascii: "A"))
      default: nil
      }
    }
  }
}
