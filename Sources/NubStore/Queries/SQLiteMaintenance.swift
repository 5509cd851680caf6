internal import GRDB
internal import GRDBSQLite
internal import Synchronization

/// People's interventions in a SQLite store. What matches is found over a read-only connection, and removed in slices like those of
/// the workers' own retention, so that no commit waits for longer than one of them.
public final class SQLiteMaintenance: StoreMaintenance {
  private let queries: SQLiteQueries
  private let writing: Mutex<Writing>

  /// `@unchecked Sendable`: used under the mutex only.
  private final class Writing: @unchecked Sendable {
    let link: WriteConnection
    let statements: RetentionStatements

    init(path: String, options: StoreOptions) throws(StoreError) {
      link = try WriteConnection(path: path, options: options)
      statements = try RetentionStatements(link.connection)
    }
  }

  private static let sliceRows = 256
  /// As the workers' own retention: after this long a transaction ends, for they wait for its end.
  private static let sliceTime = Duration.milliseconds(2)

  /// Opens a store that exists and is up to date.
  public init(path: String, options: StoreOptions = StoreOptions()) throws(StoreError) {
    queries = try SQLiteQueries(path: path, options: options)
    writing = Mutex(try Writing(path: queries.path, options: options))
  }

  // MARK: Results

  public func prune(
    _ filter: ResultFilter, dryRun: Bool, progress: (Int) -> Bool = { _ in true }
  ) throws(StoreError) -> Int {
    var count = 0
    try forEachSlice(of: filter) { (jobs) throws(StoreError) -> Bool in
      if !dryRun { try remove(jobs) }
      count += jobs.count
      return progress(count)
    }
    return count
  }

  public func forget(jobID: [UInt8], tenant: String? = nil, dryRun: Bool) throws(StoreError) -> Int {
    let jobs = try queries.result(jobID: jobID, tenant: tenant).map(\.row.seq)
    if !dryRun { try remove(jobs) }
    return jobs.count
  }

  public func retry(
    _ filter: ResultFilter, dryRun: Bool
  ) throws(StoreError) -> (retried: Int, withoutRequest: Int) {
    var filter = filter
    filter.onlyFailures = true
    var total = (retried: 0, withoutRequest: 0)
    try forEachSlice(of: filter) { (jobs) throws(StoreError) -> Bool in
      let outcome = try retry(jobs, dryRun: dryRun)
      total.retried += outcome.retried
      total.withoutRequest += outcome.withoutRequest
      return true
    }
    return total
  }

  public func retry(
    jobID: [UInt8], tenant: String? = nil, dryRun: Bool
  ) throws(StoreError) -> (retried: Int, withoutRequest: Int) {
    let jobs = try queries.result(jobID: jobID, tenant: tenant).filter { $0.row.status != 0 }.map(\.row.seq)
    return try retry(jobs, dryRun: dryRun)
  }

  private func remove(_ jobs: [Int64]) throws(StoreError) {
    var rest = jobs[...]
    while !rest.isEmpty {
      let slice = Array(rest)
      rest = rest.dropFirst(
        try write(durable: true) { (writing, _) throws(StoreError) in
          try writing.statements.removeJobs(slice, until: .now + Self.sliceTime)
        })
    }
  }

  /// Requests go back into the journal, owned by nobody, each in the same transaction in which its result goes. A row's name is the
  /// result's number, negative: neither that nor what the workers make up is given twice, so nobody can take it for an older one.
  private func retry(_ jobs: [Int64], dryRun: Bool) throws(StoreError) -> (retried: Int, withoutRequest: Int)
  {
    if dryRun {
      let retried = try queries.countRequests(of: jobs)
      return (retried, jobs.count - retried)
    }
    var retried = 0
    var rest = jobs[...]
    while !rest.isEmpty {
      let slice = rest
      let done = try write(durable: true) { (writing, connection) throws(StoreError) in
        try retrySlice(slice, writing.statements, connection)
      }
      rest = rest.dropFirst(done.looked)
      retried += done.retried
    }
    return (retried, jobs.count - retried)
  }

  private func retrySlice(
    _ jobs: ArraySlice<Int64>, _ statements: RetentionStatements, _ connection: borrowing Connection
  ) throws(StoreError) -> (looked: Int, retried: Int) {
    let deadline = ContinuousClock.now + Self.sliceTime
    var (looked, retried) = (0, 0)
    let enter = try Statement(
      connection,
      """
      INSERT INTO journal(batch, worker, attempts, count, jobs)
      SELECT -r.seq, NULL, 0, 1, r.request
      FROM requests r JOIN jobs j ON j.seq = r.seq WHERE r.seq = ?1
      """)
    for seq in jobs {
      if looked > 0, ContinuousClock.now >= deadline { break }
      looked += 1
      enter.bind(1, seq)
      try enter.run()
      guard sqlite3_changes(connection.handle) == 1 else { continue }
      try statements.removeJob(seq)
      retried += 1
    }
    return (looked, retried)
  }

  private func forEachSlice(
    of filter: ResultFilter, _ body: ([Int64]) throws(StoreError) -> Bool
  ) throws(StoreError) {
    var cursor: PageCursor?
    repeat {
      let page = try queries.sequence(filter, limit: Self.sliceRows, after: cursor)
      if !page.rows.isEmpty, try !body(page.rows) { return }
      cursor = page.next
    } while cursor != nil
  }

  // MARK: Caps

  public func collectCaps(
    unusedSince limit: Int64, dryRun: Bool, progress: (Int) -> Bool = { _ in true }
  ) throws(StoreError) -> (caps: Int, bytes: Int64) {
    var total = (caps: 0, bytes: Int64(0))
    if dryRun {
      let unused = try queries.collectableCaps(unusedSince: limit)
      return (unused.count, unused.reduce(0) { $0 + $1.size })
    }
    var removed: Int
    repeat {
      removed = 0
      var cursor: Int64 = 0
      var hasMore = true
      while hasMore {
        let slice = try write(durable: true) { (writing, _) throws(StoreError) in
          try writing.statements.removeCaps(
            unusedSince: limit, Int64(Self.sliceRows), after: &cursor, until: .now + Self.sliceTime)
        }
        hasMore = slice.hasMore
        removed += slice.caps.count
        total.caps += slice.caps.count
        total.bytes += slice.caps.reduce(0) { $0 + $1.size }
        guard progress(total.caps) else { return total }
      }
    } while removed > 0
    return total
  }

  private func write<R>(
    durable: Bool, _ body: (Writing, borrowing Connection) throws(StoreError) -> R
  ) throws(StoreError) -> R {
    // Mutex hands out what it protects as a `sending` value; the reference stays inside.
    do {
      return try writing.withLock { (writing) throws(StoreError) -> Unshared<R> in
        let writing = writing
        return Unshared(
          try writing.link.transaction(durable: durable) { (connection) throws(StoreError) -> R in
            try body(writing, connection)
          })
      }.value
    }
  }

  /// `@unchecked Sendable`: a value made under the lock for the one who holds it.
  private struct Unshared<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }
}
