internal import GRDB

extension SQLiteQueries {
  public func statistics() throws(StoreError) -> StoreStatistics {
    try read { db in
      func number(_ sql: String) throws -> Int64 { try Int64.fetchOne(db, sql: sql) ?? 0 }
      let jobs = try number("SELECT count(*) FROM jobs")
      // Failures have an index, successes are the rest: nobody has to go through all rows.
      var byStatus: [String: Int64] = [:]
      var failures: Int64 = 0
      for row in try Row.fetchAll(
        db, sql: "SELECT status, count(*) FROM jobs INDEXED BY jobs_failed WHERE status <> 0 GROUP BY status")
      {
        byStatus[Names.word(row[0], in: Names.statuses)] = row[1]
        failures += row[1] as Int64
      }
      if jobs > failures { byStatus["ok"] = jobs - failures }
      let caps = try Row.fetchOne(
        db,
        sql:
          "SELECT count(*), \(SQL.sum("size")), \(SQL.sum("puts")), \(SQL.sum("skips")) FROM caps"
      )
      let pageSize = try number("PRAGMA page_size")
      return StoreStatistics(
        jobs: jobs, jobsByStatus: byStatus,
        pendingJobs: try number("SELECT \(SQL.sum("count")) FROM journal"),
        pendingBatches: try number("SELECT count(*) FROM journal"),
        caps: caps?[0] ?? 0, capBytes: caps?[1] ?? 0, capPuts: caps?[2] ?? 0, capSkips: caps?[3] ?? 0,
        tenants: try number("SELECT count(*) FROM tenants"),
        liveWorkers: try Row.fetchAll(
          db, sql: "SELECT worker, name FROM workers WHERE ended_ms IS NULL ORDER BY worker"
        )
        .filter { OpenFileLock.isHeld(StoreFile.livenessPath(path, worker: $0[0])) }.map { $0[1] },
        oldestMilliseconds: try Int64.fetchOne(db, sql: "SELECT finished_ms FROM jobs ORDER BY seq LIMIT 1"),
        newestMilliseconds: try Int64.fetchOne(
          db, sql: "SELECT finished_ms FROM jobs ORDER BY seq DESC LIMIT 1"),
        fileBytes: try number("PRAGMA page_count") * pageSize,
        freeBytes: try number("PRAGMA freelist_count") * pageSize,
        logBytes: StoreFile.size(of: path + "-wal"))
    }
  }
}
