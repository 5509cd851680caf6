internal import Foundation
internal import GRDB
import NubCap

/// People's questions to a SQLite store, over a read-only connection of its own.
public final class SQLiteQueries: StoreQueries {
  public let path: String
  let queue: DatabaseQueue

  /// Opens a store that exists. Never creates or migrates: an older file than this program's is refused as `.cannotOpen`
  /// until a worker has opened it.
  public init(path: String, options: StoreOptions = StoreOptions()) throws(StoreError) {
    self.path = path
    guard try StoreFile.inspect(path: path) else {
      throw StoreError(.cannotOpen, "\(path) is empty: no worker has used it yet")
    }
    var configuration = Configuration()
    configuration.readonly = true
    configuration.label = "nub.queries"
    configuration.busyMode = .timeout(Double(options.busyTimeoutMilliseconds) / 1_000)
    // The last to close would move the log into the file; that is the workers' business.
    configuration.prepareDatabase { db in
      if let connection = db.sqliteConnection { Connection.forbidCheckpointOnClose(connection) }
      try db.execute(sql: "PRAGMA wal_autocheckpoint=0")
    }
    queue = try StoreError.wrap(path: path) {
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      let version = try queue.read { db in try StoreFile.version(of: db, path: path) }
      guard version == Schema.version else {
        throw StoreError(
          .cannotOpen,
          "\(path) has schema version \(version) and this program reads \(Schema.version): start a worker on it once to bring it up to date"
        )
      }
      return queue
    }
  }

  func read<R>(_ body: (Database) throws -> R) throws(StoreError) -> R {
    try StoreError.wrap(path: path) { try queue.read(body) }
  }

  // MARK: Results

  public func results(
    _ filter: ResultFilter, order: ResultOrder = .newest, limit: Int = 50, after cursor: PageCursor? = nil,
    budget: Duration = .milliseconds(100)
  ) throws(StoreError) -> Page<ResultRow> {
    guard (1...10_000).contains(limit) else {
      throw StoreError(.misuse, "a page has 1 to 10000 rows, not \(limit)")
    }
    return try read { db in
      let scan = ResultScan(
        query: try ResultQuery(filter, db), order: order, limit: limit, deadline: .now + budget)
      let outcome = try scan.run(db, after: cursor)
      let statement = try db.makeStatement(sql: ResultRow.select + " WHERE j.seq = ?")
      var rows: [ResultRow] = []
      for hit in outcome.hits {
        if let row = try Row.fetchOne(statement, arguments: [hit.seq]) { rows.append(ResultRow(row)) }
      }
      return Page(rows: rows, next: outcome.next)
    }
  }

  public func result(jobID: [UInt8], tenant: String? = nil) throws(StoreError) -> [ResultDetail] {
    let id = Data(jobID)
    return try read { db in
      // Once for each tenant: the index begins with it.
      let tenants = try Int64.fetchAll(
        db, sql: "SELECT tenant FROM tenants WHERE ?1 IS NULL OR name = ?1 ORDER BY tenant",
        arguments: [tenant])
      let statement = try db.makeStatement(
        sql: """
          SELECT j.seq, j.result, j.digest, EXISTS (SELECT 1 FROM requests r WHERE r.seq = j.seq)
          FROM jobs j WHERE j.tenant = ? AND j.job_id = ?
          """)
      let rows = try db.makeStatement(sql: ResultRow.select + " WHERE j.seq = ?")
      var details: [ResultDetail] = []
      for number in tenants {
        guard let found = try Row.fetchOne(statement, arguments: [number, id]) else { continue }
        let seq: Int64 = found[0]
        let result: Data? = found[1]
        let digest: Data = found[2]
        guard let row = try Row.fetchOne(rows, arguments: [seq]) else { continue }
        details.append(
          ResultDetail(
            row: ResultRow(row), result: result.map { Array($0) }, digest: Array(digest), canRetry: found[3]))
      }
      return details
    }
  }

  public func throughput(minutes: Int) throws(StoreError) -> [ThroughputRow] {
    try read { db in
      // The view would group everything first; minutes of the newest rows are enough.
      guard let newest = try Int64.fetchOne(db, sql: "SELECT finished_ms FROM jobs ORDER BY seq DESC LIMIT 1")
      else {
        return []
      }
      let first = (newest / 60_000 - Int64(max(1, minutes)) + 1) * 60_000
      let start = try SequenceSearch.firstJob(finishedSince: first, db)
      return try Row.fetchAll(
        db,
        sql: """
          SELECT strftime('%Y-%m-%dT%H:%MZ', finished_ms / 60000 * 60, 'unixepoch'), count(*), sum(status = 0),
            sum(status <> 0), CAST(avg(queued_us) AS INTEGER), CAST(avg(run_us) AS INTEGER), max(run_us)
          FROM jobs NOT INDEXED WHERE seq >= ? AND finished_ms >= ? GROUP BY finished_ms / 60000
          ORDER BY finished_ms / 60000 DESC LIMIT ?
          """, arguments: [start, first, minutes]
      ).map {
        ThroughputRow(
          minute: $0[0], jobs: $0[1], succeeded: $0[2], failed: $0[3], meanQueuedMicroseconds: $0[4],
          meanRunMicroseconds: $0[5], maximumRunMicroseconds: $0[6])
      }
    }
  }

  public func integrityProblems() throws(StoreError) -> [String] {
    try read { db in
      try String.fetchAll(db, sql: "PRAGMA integrity_check").filter { $0 != "ok" }
    }
  }
}

/// Where in the order of recording a time lies.
enum SequenceSearch {
  /// Rows are recorded as jobs finish, in many threads and processes: their times ascend but for this much.
  private static let slackMilliseconds: Int64 = 600_000

  /// A number such that no job before it, up to the slack, finished at `time` or later.
  static func firstJob(finishedSince time: Int64, _ db: Database) throws -> Int64 {
    guard var low = try Int64.fetchOne(db, sql: "SELECT min(seq) FROM jobs"),
      var high = try Int64.fetchOne(db, sql: "SELECT max(seq) FROM jobs")
    else { return 0 }
    let probe = try db.makeStatement(
      sql: "SELECT seq, finished_ms FROM jobs WHERE seq >= ? ORDER BY seq LIMIT 1")
    while low < high {
      let middle = low + (high - low) / 2
      guard let row = try Row.fetchOne(probe, arguments: [middle]) else { break }
      let finished: Int64 = row[1]
      if finished < time - slackMilliseconds { low = (row[0] as Int64) + 1 } else { high = middle }
    }
    return low
  }
}
