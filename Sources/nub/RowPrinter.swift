import ArgumentParser
import Foundation
import NubStore

/// How rows are printed.
struct FormatOptions: ParsableArguments {
  enum Format: String, ExpressibleByArgument, CaseIterable {
    case table, json, csv
  }

  @Option(help: "table, json (one object a line) or csv.")
  var output = Format.table

  @Flag(help: "The same as --output json.")
  var json = false

  @Flag(help: "Tables: whole ids, hashes and messages, however long the lines become.")
  var wide = false

  var format: Format { json ? .json : output }

  /// The columns of the terminal that a table has to fit in; nil where nobody looks at it, or wants it whole.
  var width: Int? { wide ? nil : Output.terminalWidth }
}

/// What every command that lists page by page takes.
struct PageOptions: ParsableArguments {
  @OptionGroup var format: FormatOptions

  @Option(parsing: .unconditional, help: "Rows, at most 10000.")
  var limit = 50

  @Option(parsing: .unconditional, help: "Go on from the cursor that an earlier page ended with.")
  var after: String?

  func validate() throws {
    guard (1...10_000).contains(limit) else { throw ValidationError("--limit is \(limit); 1 to 10000") }
    _ = try cursor()
  }

  func cursor() throws -> PageCursor? {
    try after.map { text in
      guard let cursor = PageCursor(text) else { throw ValidationError("--after \(text) is not a cursor") }
      return cursor
    }
  }

  func print<Row: Sendable>(_ page: Page<Row>, with printer: RowPrinter<Row>) throws {
    try printer.print(page.rows, as: format.format, width: format.width, isWhole: format.wide)
    if let next = page.next { Output.error("more: --after \(next)") }
    if let notice = PageOptions.notice(page) { Output.error(notice) }
  }
}

extension PageOptions {
  /// What a ranking is one of, where time did not suffice for all jobs.
  static func notice<Row: Sendable>(_ page: Page<Row>) -> String? {
    page.ranksSince.map { since in
      // --until leaves its own millisecond out.
      "time was up: these rank the jobs finished since \(TimeText.encode(since)); for those before: "
        + "--until \(TimeText.encode(since + 1))"
    }
  }
}

/// Rows for people and programs: one list of columns serves all three formats.
struct RowPrinter<Row> {
  struct Column {
    var title: String
    var alignsRight = false
    /// Left out of tables, which are for looking at.
    var isForPrograms = false
    /// Tables cut texts that a producer or a guest chose.
    var isCut = false
    /// What a terminal too narrow for the line shows of it at least: its beginning, for a person finds an id by that.
    var shortensTo: Int?
    /// Whether it has what is left of a terminal's line.
    var takesRest = false
    var text: (Row) -> String
  }

  var columns: [Column]

  /// - Parameters:
  ///   - width: what a table's lines should fit in; nil for any length.
  ///   - isWhole: whether a table shows even those texts whole that it usually cuts.
  func print(
    _ rows: [Row], as format: FormatOptions.Format, header: Bool = true, width: Int? = nil,
    isWhole: Bool = false
  ) throws {
    switch format {
    case .json: for row in rows { try Output.line(try jsonLine(object(row))) }
    case .csv:
      if header { try Output.line(columns.map { RowPrinter.quoted($0.title) }.joined(separator: ",")) }
      for row in rows {
        try Output.line(columns.map { RowPrinter.quoted($0.text(row)) }.joined(separator: ","))
      }
    case .table: try table(rows, header: header, width: width, isWhole: isWhole)
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

  private func table(_ rows: [Row], header: Bool, width: Int?, isWhole: Bool) throws {
    let shown = columns.filter { !$0.isForPrograms }
    let cells = rows.map { row in shown.map { RowPrinter.cell($0.text(row), isCut: $0.isCut && !isWhole) } }
    var widths = shown.indices.map { index in
      max(header ? shown[index].title.count : 0, cells.map { TerminalText.columns($0[index]) }.max() ?? 0)
    }
    if let width { fit(&widths, of: shown, cells, in: width) }
    func line(_ texts: [String]) -> String {
      var parts: [String] = []
      for (index, text) in texts.enumerated() {
        let text = TerminalText.beginning(of: text, columns: widths[index])
        let pad = String(repeating: " ", count: max(0, widths[index] - TerminalText.columns(text)))
        parts.append(shown[index].alignsRight ? pad + text : text + pad)
      }
      return String(parts.joined(separator: "  ").reversed().drop { $0 == " " }.reversed())
    }
    if header { try Output.line(line(shown.map(\.title))) }
    for row in cells { try Output.line(line(row)) }
  }

  /// Narrows columns until the line fits: first the one that has what is left, down to its title, then those that a person knows by
  /// their beginning, as far as that still tells them apart.
  private func fit(_ widths: inout [Int], of shown: [Column], _ cells: [[String]], in width: Int) {
    var excess = widths.reduce(0, +) + 2 * (widths.count - 1) - width
    func narrow(_ index: Int, to least: Int) {
      let less = min(excess, widths[index] - least)
      guard less > 0 else { return }
      widths[index] -= less
      excess -= less
    }
    for index in shown.indices where shown[index].takesRest { narrow(index, to: shown[index].title.count) }
    for index in shown.indices {
      guard let least = shown[index].shortensTo else { continue }
      narrow(index, to: max(least, shown[index].title.count, RowPrinter.telling(cells.map { $0[index] })))
    }
  }

  /// How many columns of different texts are enough to tell each from the others, with what stands for the rest.
  private static func telling(_ texts: [String]) -> Int {
    let sorted = Set(texts).sorted()
    let same = zip(sorted, sorted.dropFirst()).map { TerminalText.columns($0.commonPrefix(with: $1)) }
    // One more character, which may be a wide one, and the mark.
    return same.max().map { $0 + 3 } ?? 0
  }

  /// RFC 4180. By bytes: a comma with an accent on it is one character, and not a comma, to Swift; readers of CSV know bytes.
  static func quoted(_ text: String) -> String {
    let quote = UInt8(ascii: "\"")
    let special = [UInt8(ascii: ","), quote, UInt8(ascii: "\r"), UInt8(ascii: "\n")]
    guard text.utf8.contains(where: special.contains) else { return text }
    return "\"" + String(decoding: text.utf8.flatMap { $0 == quote ? [quote, quote] : [$0] }, as: UTF8.self)
      + "\""
  }

  private static func cell(_ text: String, isCut: Bool) -> String {
    let clean = TerminalText.printable(text)
    return isCut ? TerminalText.beginning(of: clean, columns: 60) : clean
  }
}
