internal import Foundation
internal import GRDB
internal import Glibc
import NubCap

/// People's questions to a SQLite store, over a read-only connection of its own.
public final class SQLiteQueries: StoreQueries {
  public let path: String
  let queue: DatabaseQueue
  private let timeLimit: QueryTimeLimit?

  /// Opens a store that exists. Never creates or migrates: an older file than this program's is refused as `.cannotOpen`
  /// until a worker has opened it.
  /// - Parameter limit: how long a question may take; one that takes longer ends with an error. Nil for no limit.
  public init(
    path: String, options: StoreOptions = StoreOptions(), timeLimit limit: Duration? = nil
  ) throws(StoreError) {
    try StoreFile.check(path: path)
    let path = StoreFile.resolved(path)
    self.path = path
    let timeLimit = limit.map { QueryTimeLimit($0) }
    self.timeLimit = timeLimit
    guard try StoreFile.inspect(path: path) else {
      throw StoreError(.cannotOpen, "\(path) is empty: no worker has used it yet")
    }
    var configuration = Configuration()
    configuration.readonly = true
    configuration.label = "nub.queries"
    configuration.busyMode = .timeout(Double(options.busyTimeoutMilliseconds) / 1_000)
    // The last to close would move the log into the file; that is the workers' business.
    configuration.prepareDatabase { db in
      if let connection = db.sqliteConnection {
        Connection.forbidCheckpointOnClose(connection)
        timeLimit?.watch(connection)
      }
      try db.execute(sql: "PRAGMA wal_autocheckpoint=0")
    }
    let source = try Self.source(path)
    queue = try StoreError.wrap(path: path) {
      let queue = try DatabaseQueue(path: source, configuration: configuration)
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

  /// What to open: the path, or for a copy where nothing can be made beside it a URI which says that nobody writes.
  ///
  /// SQLite reads a file in WAL mode through a log and an index of it, and makes both where they are missing. On a read-only medium it
  /// cannot; a file without a log has no need of them, as long as it stays as it is.
  private static func source(_ path: String) throws(StoreError) -> String {
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    if access(path + "-shm", F_OK) == 0 || access(folder, W_OK) == 0 { return path }
    guard StoreFile.size(of: path + "-wal") == 0 else {
      throw StoreError(
        .readOnly,
        "\(path) has a log, \(path)-wal, which cannot be read where nothing can be written: copy both to a folder that you may write to"
      )
    }
    let unreserved = CharacterSet(charactersIn: "/-._~").union(.alphanumerics)
    let escaped = path.addingPercentEncoding(withAllowedCharacters: unreserved) ?? path
    return "file:\(escaped)?immutable=1"
  }

  func read<R>(_ body: (Database) throws -> R) throws(StoreError) -> R {
    try StoreError.wrap(path: path) {
      try queue.read { db in
        timeLimit?.begin()
        return try body(db)
      }
    }
  }

  /// As ``read(_:)``, each statement by itself: one transaction around all would fail at its end when any statement in it met damage.
  func readOneByOne<R>(_ body: (Database) throws -> R) throws(StoreError) -> R {
    try StoreError.wrap(path: path) {
      try queue.unsafeRead { db in
        timeLimit?.begin()
        return try body(db)
      }
    }
  }

  // MARK: Results

  public func results(
    _ filter: ResultFilter, order: ResultOrder = .newest, limit: Int = 50, after cursor: PageCursor? = nil,
    budget: Duration = .milliseconds(100)
  ) throws(StoreError) -> Page<ResultRow> {
    guard (1...10_000).contains(limit) else {
      throw StoreError(.misuse, "a page has 1 to 10000 rows, not \(limit)")
    }
    guard cursor == nil || !order.isRanking else {
      throw StoreError(.misuse, "a ranking has one page, and no cursor to go on from")
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
      let since = try outcome.ranksFrom.flatMap {
        try Int64.fetchOne(
          db, sql: "SELECT finished_ms FROM jobs WHERE seq >= ? ORDER BY seq LIMIT 1", arguments: [$0])
      }
      return Page(rows: rows, next: outcome.next, ranksSince: since)
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
        guard let row = try Row.fetchOne(rows, arguments: [found.integer(0) as Int64]) else { continue }
        details.append(ResultDetail(row, found))
      }
      return details
    }
  }

  public func throughput(
    minutes: Int, budget: Duration = .milliseconds(250)
  ) throws(StoreError) -> [ThroughputRow] {
    let deadline = ContinuousClock.now + budget
    return try read { db in
      guard
        let newest = try FileNumber.first(db, "SELECT finished_ms FROM jobs ORDER BY seq DESC LIMIT 1"),
        let last = try FileNumber.first(db, "SELECT max(seq) FROM jobs")
      else { return [] }
      let firstMinute = newest / 60_000 - Int64(min(max(1, minutes), 1 << 32)) + 1
      let first = try SequenceSearch.firstJob(
        finishedSince: firstMinute * 60_000 - SequenceSearch.slackMilliseconds, db)
      let statement = try db.makeStatement(
        sql: """
          SELECT finished_ms / 60000, count(*), sum(status = 0), \(SQL.sum("queued_us")), \(SQL.sum("run_us")), max(run_us)
          FROM jobs NOT INDEXED WHERE seq >= ? AND seq < ? AND finished_ms >= ? GROUP BY 1
          """)
      var tally = ThroughputTally()
      var high = last + 1
      while high > first, ContinuousClock.now < deadline {
        let low = max(first, high - 32_768)
        for row in try Row.fetchAll(statement, arguments: [low, high, firstMinute * 60_000]) {
          tally.add(row)
        }
        high = low
      }
      // Time was up: the earliest minute is not whole.
      return tally.rows(dropEarliest: high > first, limit: minutes)
    }
  }
}
