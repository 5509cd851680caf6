import Foundation

extension BenchReport {
  /// The results as a table of text, one line each, the machine on top.
  public func table() -> String {
    var rows = [["figure", "value", "unit", "low", "high", "baseline", "ratio"]]
    for result in results {
      rows.append([
        result.name, BenchReport.short(result.value), result.unit, BenchReport.short(result.low),
        BenchReport.short(result.high), result.baseline.map(BenchReport.short) ?? "-",
        result.ratio.map(BenchReport.short) ?? "-",
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      row.enumerated().map { column, text in
        let fill = String(repeating: " ", count: widths[column] - text.count)
        // Names and units begin at the left, numbers end at the right.
        return column == 0 || column == 2 ? text + fill : fill + text
      }.joined(separator: "  ")
    }
    return ([machine.summary, ""] + lines).joined(separator: "\n")
  }

  /// Four significant digits.
  static func short(_ value: Double) -> String {
    switch abs(value) {
    case 0: "0"
    case 1000...: String(format: "%.0f", value)
    case 100...: String(format: "%.1f", value)
    case 10...: String(format: "%.2f", value)
    case 1...: String(format: "%.3f", value)
    default: String(format: "%.4f", value)
    }
  }
}
