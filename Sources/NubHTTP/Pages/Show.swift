internal import Glibc
internal import NubStore

/// How values look to a person.
enum Show {
  /// A job id: as text if it is readable text, else in hex with `0x`, as `nub results` shows it.
  static func jobID(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self), isReadable(text) { return text }
    return "0x" + Hex.text(bytes)
  }

  /// Whether nothing in it is invisible, changes direction, or is mistaken for the hex form.
  private static func isReadable(_ text: String) -> Bool {
    guard !text.isEmpty, !text.hasPrefix("0x") else { return false }
    return text.unicodeScalars.allSatisfy { !isInvisible($0) } && text.first != " " && text.last != " "
  }

  /// Text with what cannot be seen written out, cut at `limit` characters.
  static func text(_ string: String, limit: Int = 400) -> String {
    var result = ""
    var count = 0
    for scalar in string.unicodeScalars {
      guard count < limit else { return result + "…" }
      count += 1
      if scalar == "\n" {
        result += " ⏎ "
      } else if isInvisible(scalar) {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func isInvisible(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }

  static func bytes(_ count: some BinaryInteger) -> String {
    var value = Double(count)
    if value < 1_024 { return "\(count) B" }
    for unit in ["KiB", "MiB", "GiB"] {
      value /= 1_024
      if value < 1_024 { return "\(decimal(value)) \(unit)" }
    }
    return "\(decimal(value / 1_024)) TiB"
  }

  static func microseconds(_ count: some BinaryInteger) -> String {
    let value = Double(count)
    if value < 1_000 { return "\(count) µs" }
    if value < 1_000_000 { return "\(decimal(value / 1e3)) ms" }
    return seconds(value / 1e6)
  }

  static func seconds(_ value: Double) -> String {
    if value < 100 { return "\(decimal(value)) s" }
    let whole = Int(value)
    if whole < 3_600 { return "\(whole / 60) min" }
    if whole < 86_400 { return "\(whole / 3_600) h \(whole % 3_600 / 60) min" }
    return "\(whole / 86_400) d \(whole % 86_400 / 3_600) h"
  }

  /// Three digits or so.
  static func decimal(_ value: Double) -> String {
    if value >= 100 || value == value.rounded() { return "\(Int(value.rounded()))" }
    let tenths = Int((value * (value < 10 ? 100 : 10)).rounded())
    let scale = value < 10 ? 100 : 10
    let fraction = String(tenths % scale)
    let padded = String(repeating: "0", count: (scale == 100 ? 2 : 1) - fraction.count) + fraction
    return "\(tenths / scale).\(padded)"
  }

  /// With a thin gap between thousands.
  static func count(_ value: some BinaryInteger) -> String {
    let digits = Array(String(value))
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "\u{202F}" }
      text.append(digit)
    }
    return text
  }

  /// UTC, to the second.
  static func time(_ milliseconds: Int64) -> String {
    var seconds = Int(milliseconds / 1_000)
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "?" }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return
      "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
  }

  /// How long ago, roughly.
  static func ago(_ milliseconds: Int64, now: Int64) -> String {
    let seconds = max(0, now - milliseconds) / 1_000
    if seconds < 2 { return "just now" }
    if seconds < 60 { return "\(seconds) s ago" }
    if seconds < 3_600 { return "\(seconds / 60) min ago" }
    if seconds < 86_400 { return "\(seconds / 3_600) h ago" }
    return "\(seconds / 86_400) d ago"
  }
}
