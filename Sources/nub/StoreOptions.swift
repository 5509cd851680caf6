import ArgumentParser
import Foundation
import NubStore

/// What every command that reads the store takes.
struct StoreArguments: ParsableArguments {
  @Option(
    help: "The store's SQLite file. Default: NUB_STORE, else nub.db in this folder.", completion: .file())
  var store: String?

  var path: String { store ?? Environment.store ?? "nub.db" }

  func validate() throws {
    do throws(StoreError) {
      try SQLiteStore.check(path: path)
    } catch {
      throw ValidationError("--store: \(error.message)")
    }
  }

  func open() throws -> SQLiteQueries { try SQLiteQueries(path: try existing()) }

  func openForChanges() throws -> SQLiteMaintenance { try SQLiteMaintenance(path: try existing()) }

  private func existing() throws -> String {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("there is no store at \(path); name one with --store or NUB_STORE")
    }
    return path
  }
}

/// Job ids are bytes; text where they are printable, else `0x` and hexadecimal digits. The same two forms are read back.
enum JobIDText {
  static func encode(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self), !text.isEmpty, !text.hasPrefix("0x"),
      text.first != " ", text.last != " ", !text.unicodeScalars.contains(where: TerminalText.isUnsafe)
    {
      return text
    }
    return "0x" + Hex.encode(bytes)
  }

  static func decode(_ text: String) -> [UInt8] {
    if text.hasPrefix("0x"), let bytes = Hex.decode(String(text.dropFirst(2))), !bytes.isEmpty {
      return bytes
    }
    return Array(text.utf8)
  }
}

extension Names {
  /// Refuses what is neither one of the words nor one of their numbers.
  static func check(_ word: String?, in list: [(Int64, String)], of option: String) throws {
    guard let word, !list.contains(where: { $0.1 == word || String($0.0) == word }) else { return }
    throw ValidationError("\(option) is \(word); one of \(list.map(\.1).joined(separator: ", "))")
  }
}

/// Times as people write them.
enum TimeText {
  /// ISO 8601 in UTC with milliseconds.
  static func encode(_ milliseconds: Int64) -> String { "\(UTCTime(milliseconds: milliseconds))" }

  /// An ISO 8601 date or time, Unix seconds, or an age such as `90s`, `15m`, `2h`, `7d`; Unix milliseconds.
  static func decode(_ text: String) -> Int64? {
    if let time = UTCTime(text) { return time.milliseconds }
    if let seconds = number(text[...]), seconds < 1 << 40 { return seconds * 1000 }
    let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
    guard let unit = text.last.flatMap({ units[$0] }), let count = number(text.dropLast()) else { return nil }
    let now = Int64(Date().timeIntervalSince1970 * 1000)
    let (age, overflow) = count.multipliedReportingOverflow(by: unit)
    return overflow ? nil : now - min(age, now)
  }

  /// Digits alone, no sign.
  private static func number(_ text: Substring) -> Int64? {
    text.utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains) ? Int64(text) : nil
  }

  /// The same, for an option.
  static func parse(_ text: String) throws -> Int64 {
    guard let time = decode(text) else {
      throw ValidationError(
        "\(text) is not a time; use 2026-01-31T12:00:00Z, Unix seconds, or an age like 15m")
    }
    return time
  }
}
