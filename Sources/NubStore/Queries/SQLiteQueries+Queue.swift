internal import Foundation
internal import GRDB

extension SQLiteQueries {
  /// Whether a job with this id was put back into the journal and no worker has taken it up yet.
  ///
  /// What the journal holds is the worker's business; but a request has its id in it, byte for byte, and another request with these bytes
  /// in it is a rare thing. Looks at ten thousand such requests, those of the newest failures first.
  public func isQueuedAgain(jobID: [UInt8]) throws(StoreError) -> Bool {
    let id = Data(jobID)
    return try read { db in
      try Bool.fetchOne(
        db,
        sql: """
          SELECT EXISTS (
            SELECT 1 FROM (SELECT jobs FROM journal WHERE worker IS NULL ORDER BY batch LIMIT 10000)
            WHERE instr(jobs, ?) > 0)
          """, arguments: [id]) ?? false
    }
  }
}
