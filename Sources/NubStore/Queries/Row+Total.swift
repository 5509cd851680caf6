internal import Foundation
internal import GRDB

/// Values of a file that may be damaged: where a column has no such value, neither the schema's promise of one nor its type holds, and
/// whoever asks goes on. GRDB's subscripts would end the process.
extension Row {
  /// 0 where there is no integer, the nearest one where it does not fit.
  func integer<Integer: FixedWidthInteger>(_ column: Int) -> Integer {
    Integer(clamping: optionalInteger(column) ?? 0)
  }

  func optionalInteger(_ column: Int) -> Int64? {
    Int64.fromDatabaseValue(self[column])
  }

  func blob(_ column: Int) -> Data? {
    Data.fromDatabaseValue(self[column])
  }

  func text(_ column: Int) -> String? {
    String.fromDatabaseValue(self[column])
  }
}
