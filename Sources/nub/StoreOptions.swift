import ArgumentParser
import Foundation
import NubStore

/// What every command that reads the store takes.
struct StoreArguments: ParsableArguments {
  @Option(
    help: "The store's SQLite file. Default: NUB_STORE, else nub.db in this folder.", completion: .file())
  var store: String?

  var path: String { store ?? Environment.store ?? "nub.db" }

  func open() throws -> SQLiteQueries {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("there is no store at \(path); name one with --store or NUB_STORE")
    }
    return try SQLiteQueries(path: path)
  }

  func openForChanges() throws -> SQLiteMaintenance {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure("there is no store at \(path); name one with --store or NUB_STORE")
    }
    return try SQLiteMaintenance(path: path)
  }
}

/// How rows are printed.
struct FormatOptions: ParsableArguments {
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case table, json, csv
  }

  @Option(help: "table, json (one object a line) or csv.")
  var output = Format.table

  @Flag(help: "The same as --output json.")
  var json = false

  var format: Format { json ? .json : output }
}

/// Rows for people and programs: one list of columns serves all three formats.
struct RowPrinter<Row> {
  struct Column {
    var title: String
    var alignsRight = false
    /// Left out of tables, which are for looking at.
    var isForPrograms = false
    /// Tables cut texts that a producer or a guest chose, and nothing else.
    var isCut = false
    var text: (Row) -> String
  }

  var columns: [Column]

  func print(_ rows: [Row], as format: FormatOptions.Format, header: Bool = true) throws {
    switch format {
    case .json: for row in rows { try Output.line(try jsonLine(object(row))) }
    case .csv:
      if header { try Output.line(columns.map { RowPrinter.quoted($0.title) }.joined(separator: ",")) }
      for row in rows {
        try Output.line(columns.map { RowPrinter.quoted($0.text(row)) }.joined(separator: ","))
      }
    case .table: try table(rows, header: header)
    }
  }

  /// A row as JSON: the columns that have a value, right-aligned ones as numbers.
  func object(_ row: Row) -> [String: JSONScalar] {
    var object: [String: JSONScalar] = [:]
    for column in columns {
      let text = column.text(row)
      if text.isEmpty { continue }
      object[column.title] = column.alignsRight ? Int64(text).map { .number($0) } ?? .text(text) : .text(text)
    }
    return object
  }

  private func table(_ rows: [Row], header: Bool) throws {
    let shown = columns.filter { !$0.isForPrograms }
    let cells = rows.map { row in shown.map { RowPrinter.printable($0.text(row), isCut: $0.isCut) } }
    let widths = shown.indices.map { index in
      max(header ? shown[index].title.count : 0, cells.map { $0[index].count }.max() ?? 0)
    }
    func line(_ texts: [String]) -> String {
      var parts: [String] = []
      for (index, text) in texts.enumerated() {
        let pad = String(repeating: " ", count: widths[index] - text.count)
        parts.append(shown[index].alignsRight ? pad + text : text + pad)
      }
      return String(parts.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }
    if header { try Output.line(line(shown.map(\.title))) }
    for row in cells { try Output.line(line(row)) }
  }

  /// RFC 4180.
  private static func quoted(_ text: String) -> String {
    guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
    return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }

  /// Control characters come from producers and guests, and must not reach a terminal.
  private static func printable(_ text: String, isCut: Bool) -> String {
    let clean = text.unicodeScalars.map { scalar -> Character in
      scalar.value < 32 || (127..<160).contains(scalar.value) ? " " : Character(scalar)
    }
    return isCut && clean.count > 60 ? String(clean.prefix(59)) + "…" : String(clean)
  }
}

/// Job ids are bytes; text where they are printable, else `0x` and hexadecimal digits. The same two forms are read back.
enum JobIDText {
  static func encode(_ bytes: [UInt8]) -> String {
    if let text = String(validating: bytes, as: UTF8.self), !text.isEmpty, !text.hasPrefix("0x"),
      text.unicodeScalars.allSatisfy({ $0.value >= 32 && !(127..<160).contains($0.value) })
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

/// Times as people write them.
enum TimeText {
  /// ISO 8601 in UTC with milliseconds.
  static func encode(_ milliseconds: Int64) -> String {
    let date = Date(timeIntervalSince1970: Double(milliseconds) / 1000)
    return date.formatted(
      .iso8601.year().month().day().dateTimeSeparator(.standard).time(includingFractionalSeconds: true)) + "Z"
  }

  /// An ISO 8601 date or time, Unix seconds, or an age such as `90s`, `15m`, `2h`, `7d`; Unix milliseconds.
  static func decode(_ text: String) -> Int64? {
    let now = Int64(Date().timeIntervalSince1970 * 1000)
    let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]
    if let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()), count >= 0 {
      let (age, overflow) = count.multipliedReportingOverflow(by: unit)
      return overflow ? nil : now - min(age, now)
    }
    if let seconds = Int64(text), seconds >= 0, seconds < 1 << 40 { return seconds * 1000 }
    if let date = try? Date(text, strategy: .iso8601) { return Int64(date.timeIntervalSince1970 * 1000) }
    if let date = try? Date(text + "T00:00:00Z", strategy: .iso8601) {
      return Int64(date.timeIntervalSince1970 * 1000)
    }
    return nil
  }
}
