/// Text that producers, guests, peers and files chose, on its way to somebody's terminal.
enum TerminalText {
  /// One line in which nothing moves the cursor, changes colours, or turns the direction of writing: such characters are shown as �.
  static func printable(_ text: String) -> String { replacing(text) { _ in false } }

  /// The same for output of several lines.
  static func printableLines(_ text: String) -> String { replacing(text) { $0 == "\n" || $0 == "\t" } }

  private static func replacing(_ text: String, unless isFine: (Unicode.Scalar) -> Bool) -> String {
    guard text.unicodeScalars.contains(where: { isUnsafe($0) && !isFine($0) }) else { return text }
    var clean = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      clean.append(isUnsafe(scalar) && !isFine(scalar) ? "\u{FFFD}" : scalar)
    }
    return String(clean)
  }

  /// Controls of both sets, marks that turn the direction of writing or show nothing, and what ends a line or a paragraph.
  static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < 0x7F { return scalar.value < 0x20 }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: return true
    default: return false
    }
  }

  /// How many columns a terminal gives it: two for what is wide by Unicode's annex 11, else one.
  private static func columns(_ character: Character) -> Int {
    !character.isASCII && character.unicodeScalars.contains(where: isWide) ? 2 : 1
  }

  /// The blocks of East Asian scripts and of emoji, near enough for a table.
  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      true
    default: false
    }
  }

  static func columns(_ text: some StringProtocol) -> Int { text.reduce(0) { $0 + columns($1) } }

  /// The beginning of a text, as much as fits, with `…` where that is not all.
  static func beginning(of text: String, columns limit: Int) -> String {
    guard columns(text) > limit else { return text }
    var left = limit - 1
    let start = text.prefix { character in
      left -= columns(character)
      return left >= 0
    }
    return start + "…"
  }
}
