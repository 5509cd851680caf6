internal import GRDB

/// Where in the order of recording a time lies.
enum SequenceSearch {
  /// Jobs are recorded as they finish, by many threads and processes with one clock: their times ascend, but for this much. A clock that was
  /// set back by more can hide rows from a question about a time.
  static let slackMilliseconds: Int64 = 600_000

  /// The number of the first job that finished at `time` or later, if times ascended; one past the last if none did.
  static func firstJob(finishedSince time: Int64, _ db: Database) throws -> Int64 {
    guard var low = try FileNumber.first(db, "SELECT min(seq) FROM jobs"),
      let last = try FileNumber.first(db, "SELECT max(seq) FROM jobs")
    else { return 0 }
    var high = last + 1
    let probe = try db.makeStatement(
      sql: "SELECT seq, finished_ms FROM jobs WHERE seq >= ? ORDER BY seq LIMIT 1")
    while low < high {
      let middle = low + (high - low) / 2
      guard let row = try Row.fetchOne(probe, arguments: [middle]) else { break }
      let seq: Int64 = row.integer(0)
      let finished: Int64 = row.integer(1)
      if finished < time { low = seq + 1 } else { high = middle }
    }
    return low
  }
}
