/// Pieces of SQL used in several statements.
enum SQL {
  /// Unix time in milliseconds (`unixepoch('subsec')` needs SQLite 3.42).
  static let now = "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"
}
