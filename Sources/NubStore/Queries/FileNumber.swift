internal import GRDB

/// Numbers of rows, and times, that are reckoned with.
enum FileNumber {
  /// Below this one may add and subtract without a thought. No store gets there: a million rows a second reach it in a hundred
  /// thousand years.
  static let limit: Int64 = 1 << 62

  /// The first column of the first row; nil if there is none.
  /// - Throws: `.corrupt` for a number that nub does not write.
  static func first(_ db: Database, _ sql: String, _ arguments: StatementArguments = []) throws -> Int64? {
    guard let row = try Row.fetchOne(db, sql: sql, arguments: arguments), let number = row.optionalInteger(0)
    else { return nil }
    return try checked(number)
  }

  static func checked(_ number: Int64) throws -> Int64 {
    guard (0..<limit).contains(number) else {
      throw StoreError(
        .corrupt,
        "the store holds a row with the number or time \(number), which nub does not write: the file is damaged, or another program has written to it; `nub caps verify` looks at all of it"
      )
    }
    return number
  }

  /// A time or place that somebody asks for, of which the extremes mean no more than the limit.
  static func clamped(_ number: Int64) -> Int64 { min(max(number, -limit), limit) }
}
