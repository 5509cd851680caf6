internal import GRDB
internal import GRDBSQLite
internal import Synchronization

/// Ends questions that take too long: SQLite asks it every few thousand steps of a statement.
final class QueryTimeLimit: Sendable {
  private let limit: Duration
  /// When the question that is being answered must have ended, in nanoseconds since `origin`.
  private let deadline = Atomic<Int64>(.max)
  private let origin = ContinuousClock.now

  init(_ limit: Duration) { self.limit = limit }

  private var elapsed: Int64 {
    let time = (ContinuousClock.now - origin).components
    return time.seconds * 1_000_000_000 + time.attoseconds / 1_000_000_000
  }

  /// A question begins.
  func begin() {
    let span = limit.components
    deadline.store(
      elapsed + span.seconds * 1_000_000_000 + span.attoseconds / 1_000_000_000, ordering: .relaxed)
  }

  var isOver: Bool { elapsed > deadline.load(ordering: .relaxed) }

  /// The connection must not outlive this object.
  func watch(_ connection: OpaquePointer) {
    sqlite3_progress_handler(
      connection, 4_000,
      { context in
        guard let context else { return 0 }
        return Unmanaged<QueryTimeLimit>.fromOpaque(context).takeUnretainedValue().isOver ? 1 : 0
      }, Unmanaged.passUnretained(self).toOpaque())
  }
}
