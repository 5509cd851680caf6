internal import GRDB

/// What interventions have to find first.
extension SQLiteQueries {
  /// The numbers of the jobs that match, oldest first.
  func sequence(
    _ filter: ResultFilter, limit: Int, after cursor: PageCursor?
  ) throws(StoreError) -> Page<Int64> {
    try read { db in
      let scan = ResultScan(
        query: try ResultQuery(filter, db), order: .oldest, limit: limit, deadline: .now + .milliseconds(100))
      let outcome = try scan.run(db, after: cursor)
      return Page(rows: outcome.hits.map(\.seq), next: outcome.next)
    }
  }

  func countRequests(of jobs: [Int64]) throws(StoreError) -> Int {
    try read { db in
      let statement = try db.makeStatement(sql: "SELECT EXISTS (SELECT 1 FROM requests WHERE seq = ?)")
      return try jobs.filter { try Bool.fetchOne(statement, arguments: [$0]) ?? false }.count
    }
  }

  /// All caps that a collection would remove: unused ones that only such caps refer to.
  func collectableCaps(unusedSince limit: Int64) throws(StoreError) -> [(cap: Int64, size: Int64)] {
    try read { db in
      // Whatever is used, or below something used, stays; the rest goes, from the top down. Caps form no cycles.
      try Row.fetchAll(
        db,
        sql: """
          WITH RECURSIVE kept(cap) AS (
            SELECT cap FROM caps WHERE last_used_ms >= ?1
            UNION
            SELECT c.cap FROM kept k JOIN cap_refs r ON r.parent = k.cap JOIN caps c ON c.hash = r.child_hash
          )
          SELECT cap, size FROM caps WHERE cap NOT IN (SELECT cap FROM kept)
          """, arguments: [limit]
      ).map { ($0[0], $0[1]) }
    }
  }
}
