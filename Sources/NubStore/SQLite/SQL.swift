/// Pieces of SQL used in several statements.
enum SQL {
  /// Unix time in milliseconds (`unixepoch('subsec')` needs SQLite 3.42).
  static let now = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"

  /// The sum of a column as an integer, 0 of no rows. SQLite's own `sum` is an error where it overflows, and one damaged row is enough for
  /// that.
  static func sum(_ column: String) -> String { "CAST(total(\(column)) AS INTEGER)" }
}
