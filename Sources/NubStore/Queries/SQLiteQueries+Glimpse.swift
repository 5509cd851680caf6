internal import Foundation
internal import GRDB

extension SQLiteQueries {
  /// The finished jobs with this id, of at most `limit` tenants, with the first bytes of their results: what a page shows. However many
  /// tenants have used the id, and however large their results are, it takes little memory.
  public func glimpse(
    jobID: [UInt8], limit: Int, resultBytes: Int
  ) throws(StoreError) -> [ResultDetail] {
    let id = Data(jobID)
    return try read { db in
      let statement = try db.makeStatement(
        sql: """
          SELECT j.seq, substr(j.result, 1, ?), j.digest, EXISTS (SELECT 1 FROM requests r WHERE r.seq = j.seq)
          FROM tenants t CROSS JOIN jobs j ON j.tenant = t.tenant AND j.job_id = ? LIMIT ?
          """)
      let rows = try db.makeStatement(sql: ResultRow.select + " WHERE j.seq = ?")
      var details: [ResultDetail] = []
      for found in try Row.fetchAll(statement, arguments: [resultBytes, id, limit]) {
        guard let row = try Row.fetchOne(rows, arguments: [found.integer(0) as Int64]) else { continue }
        details.append(ResultDetail(row, found))
      }
      return details
    }
  }
}
