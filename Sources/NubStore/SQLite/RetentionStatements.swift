internal import GRDBSQLite

/// Removing what has expired, a few rows at a time.
///
/// Jobs are numbered in the order in which they were recorded, so the first that is not old enough ends a search.
final class RetentionStatements {
  private let oldest: Statement
  private let oldestFailed: Statement
  private let deleteJob: Statement
  private let deleteRequest: Statement
  private let capsInOrder: Statement
  private let isReferredTo: Statement
  private let deleteCap: Statement
  private let deleteBody: Statement
  private let deleteReferences: Statement
  private let deleteViewers: Statement
  private let deleteCancels: Statement
  private let deleteSpans: Statement
  private let oldestRequests: Statement

  /// Bytes of caps after which a slice ends, however few rows that was.
  private static let sliceBytes: Int64 = 2 << 20

  init(_ connection: borrowing Connection) throws(StoreError) {
    oldest = try Statement(
      connection, "SELECT seq, finished_ms, status FROM jobs WHERE seq > ?1 ORDER BY seq LIMIT ?2")
    oldestFailed = try Statement(
      connection,
      """
      SELECT seq, finished_ms, status FROM jobs INDEXED BY jobs_failed
      WHERE status <> 0 AND seq > ?1 ORDER BY seq LIMIT ?2
      """)
    deleteJob = try Statement(connection, "DELETE FROM jobs WHERE seq = ?1")
    deleteRequest = try Statement(connection, "DELETE FROM requests WHERE seq = ?1")
    capsInOrder = try Statement(
      connection, "SELECT cap, hash, size, last_used_ms FROM caps WHERE cap > ?1 ORDER BY cap LIMIT ?2")
    isReferredTo = try Statement(connection, "SELECT 1 FROM cap_refs WHERE child_hash = ?1 LIMIT 1")
    deleteCap = try Statement(connection, "DELETE FROM caps WHERE cap = ?1")
    deleteBody = try Statement(connection, "DELETE FROM cap_bodies WHERE cap = ?1")
    deleteReferences = try Statement(connection, "DELETE FROM cap_refs WHERE parent = ?1")
    deleteViewers = try Statement(connection, "DELETE FROM cap_tenants WHERE cap = ?1")
    deleteCancels = try Statement(
      connection,
      """
      DELETE FROM cancels WHERE cancel IN
        (SELECT cancel FROM cancels WHERE requested_ms < ?1 ORDER BY cancel LIMIT ?2)
      """)
    // Runs of numbers before the first job that is left, of a few tenants at a time.
    deleteSpans = try Statement(
      connection,
      """
      DELETE FROM job_spans WHERE (tenant, span) IN (
        SELECT tenant, span FROM job_spans WHERE tenant BETWEEN ?1 AND ?2
          AND span < coalesce((SELECT min(seq) FROM jobs) >> \(JobStatements.spanShift), -1) LIMIT ?3)
      """)
    oldestRequests = try Statement(
      connection,
      """
      SELECT r.seq, coalesce(j.finished_ms, 0) FROM requests r LEFT JOIN jobs j ON j.seq = r.seq
      WHERE r.seq > ?1 ORDER BY r.seq LIMIT ?2
      """)
  }

  // MARK: Jobs

  /// The next expired jobs after `cursor`, which moves behind the last row that was looked at and is dealt with.
  func expiredJobs(
    before limit: Int64, _ rows: Int64, after cursor: inout Int64, failed: Bool
  ) throws(StoreError) -> (sequence: [Int64], hasMore: Bool) {
    if failed { return try Self.expired(oldestFailed, limit, rows, &cursor, failed: true) }
    return try Self.expired(oldest, limit, rows, &cursor, failed: false)
  }

  private static func expired(
    _ query: borrowing Statement, _ limit: Int64, _ rows: Int64, _ cursor: inout Int64, failed: Bool
  ) throws(StoreError) -> (sequence: [Int64], hasMore: Bool) {
    query.bind(1, cursor)
    query.bind(2, rows)
    defer { query.reset() }
    var sequence: [Int64] = []
    var count: Int64 = 0
    while try query.step() {
      guard query.int64(1) < limit else { return (sequence, false) }
      cursor = query.int64(0)
      count += 1
      if (query.int64(2) != 0) == failed { sequence.append(cursor) }
    }
    return (sequence, count == rows)
  }

  func removeJob(_ seq: Int64) throws(StoreError) {
    deleteJob.bind(1, seq)
    try deleteJob.run()
    deleteRequest.bind(1, seq)
    try deleteRequest.run()
  }

  /// Removes jobs until the time is up, but at least one.
  /// - Returns: how many of them went.
  func removeJobs(_ jobs: [Int64], until deadline: ContinuousClock.Instant) throws(StoreError) -> Int {
    for (index, seq) in jobs.enumerated() {
      if index > 0, ContinuousClock.now >= deadline { return index }
      try removeJob(seq)
    }
    return jobs.count
  }

  /// - Returns: whether as many went as were allowed.
  func removeSpans(
    ofTenants tenants: ClosedRange<Int64>, _ rows: Int64, _ connection: borrowing Connection
  ) throws(StoreError) -> Bool {
    deleteSpans.bind(1, tenants.lowerBound)
    deleteSpans.bind(2, tenants.upperBound)
    deleteSpans.bind(3, rows)
    try deleteSpans.run()
    return sqlite3_changes(connection.handle) == rows
  }

  // MARK: Requests

  /// Removes the next requests whose jobs finished before `limit`; inside a transaction.
  /// - Returns: whether there are more to look at.
  func removeRequests(
    before limit: Int64, _ rows: Int64, after cursor: inout Int64, until deadline: ContinuousClock.Instant
  ) throws(StoreError) -> Bool {
    let expired = try expiredRequests(before: limit, rows, after: cursor)
    for (index, seq) in expired.enumerated() {
      if index > 0, ContinuousClock.now >= deadline { return true }
      deleteRequest.bind(1, seq)
      try deleteRequest.run()
      cursor = seq
    }
    return Int64(expired.count) == rows
  }

  private func expiredRequests(
    before limit: Int64, _ rows: Int64, after cursor: Int64
  ) throws(StoreError) -> [Int64] {
    oldestRequests.bind(1, cursor)
    oldestRequests.bind(2, rows)
    defer { oldestRequests.reset() }
    var expired: [Int64] = []
    while try oldestRequests.step(), oldestRequests.int64(1) < limit {
      expired.append(oldestRequests.int64(0))
    }
    return expired
  }

  // MARK: Caps

  /// A cap that may go.
  struct UnusedCap: Sendable {
    var cap: Int64
    var size: Int64
  }

  /// The next caps after `cursor` that nobody used since `limit` and nothing refers to.
  private func unusedCaps(
    since limit: Int64, _ rows: Int64, after cursor: inout Int64
  ) throws(StoreError) -> (caps: [UnusedCap], hasMore: Bool) {
    capsInOrder.bind(1, cursor)
    capsInOrder.bind(2, rows)
    defer { capsInOrder.reset() }
    var caps: [UnusedCap] = []
    var count: Int64 = 0
    var bytes: Int64 = 0
    while try capsInOrder.step() {
      cursor = capsInOrder.int64(0)
      count += 1
      guard capsInOrder.int64(3) < limit, try !isReferred(capsInOrder.bytes(1)) else { continue }
      caps.append(UnusedCap(cap: cursor, size: capsInOrder.int64(2)))
      bytes += capsInOrder.int64(2)
      if bytes > Self.sliceBytes { return (caps, true) }
    }
    return (caps, count == rows)
  }

  /// Removes the next unused caps, until the time is up, but at least one; inside a transaction.
  /// - Returns: those that went, and whether there are more to look at.
  func removeCaps(
    unusedSince limit: Int64, _ rows: Int64, after cursor: inout Int64,
    until deadline: ContinuousClock.Instant
  ) throws(StoreError) -> (caps: [UnusedCap], hasMore: Bool) {
    var unused = try unusedCaps(since: limit, rows, after: &cursor)
    for (index, cap) in unused.caps.enumerated() {
      if index > 0, ContinuousClock.now >= deadline {
        unused.caps.removeSubrange(index...)
        cursor = unused.caps[index - 1].cap
        return (unused.caps, true)
      }
      try removeCap(cap.cap)
    }
    return unused
  }

  private func removeCap(_ cap: Int64) throws(StoreError) {
    deleteCap.bind(1, cap)
    try deleteCap.run()
    deleteBody.bind(1, cap)
    try deleteBody.run()
    deleteReferences.bind(1, cap)
    try deleteReferences.run()
    deleteViewers.bind(1, cap)
    try deleteViewers.run()
  }

  private func isReferred(_ hash: UnsafeRawBufferPointer) throws(StoreError) -> Bool {
    isReferredTo.bind(1, blob: hash)
    defer { isReferredTo.reset() }
    return try isReferredTo.step()
  }

  // MARK: Cancels

  /// - Returns: whether as many went as were asked for.
  func removeCancels(
    before limit: Int64, _ rows: Int64, _ connection: borrowing Connection
  ) throws(StoreError) -> Bool {
    deleteCancels.bind(1, limit)
    deleteCancels.bind(2, rows)
    try deleteCancels.run()
    return sqlite3_changes(connection.handle) == rows
  }
}
