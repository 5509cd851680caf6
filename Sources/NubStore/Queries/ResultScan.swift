internal import GRDB

/// Looks through the jobs in windows of their numbers, so that it can stop at any window's edge and say where to go on.
///
/// Windows grow while they are quick: a filter with an index goes through a million rows in a few steps, one without stays within
/// the time it was given.
struct ResultScan {
  let query: ResultQuery
  let order: ResultOrder
  let limit: Int
  let deadline: ContinuousClock.Instant

  private static let firstWindow: Int64 = 4_096
  private static let largestWindow: Int64 = 1 << 40

  /// A job's number, and what it is sorted by.
  struct Hit {
    var seq: Int64
    var key: Int64
  }

  struct Outcome {
    var hits: [Hit]
    var next: PageCursor?
    /// The lowest number that a ranking got to before its time was up.
    var ranksFrom: Int64?
  }

  func run(_ db: Database, after cursor: PageCursor?) throws -> Outcome {
    guard !query.isEmpty,
      let lowest = try FileNumber.first(db, "SELECT min(seq) FROM jobs"),
      let highest = try FileNumber.first(db, "SELECT max(seq) FROM jobs")
    else { return Outcome(hits: [], next: nil) }
    let first = max(lowest, query.first)
    let last = min(highest, query.last)
    return try order == .oldest
      ? ascending(db, from: max(first, (cursor?.position ?? first - 1) + 1), to: last)
      : descending(db, from: min(last, (cursor?.position ?? last + 1) - 1), to: first)
  }

  private func descending(_ db: Database, from start: Int64, to first: Int64) throws -> Outcome {
    let isRanked = order.isRanking
    let sql =
      "SELECT j.seq, \(key) \(query.source) ORDER BY \(isRanked ? "2 DESC, j.seq DESC" : "j.seq DESC") LIMIT ?"
    let statement = try db.makeStatement(sql: sql)
    var hits: [Hit] = []
    var high = start + 1
    var window = query.tenant == nil ? Self.firstWindow : 1 << JobStatements.spanShift
    while high > first {
      if let tenant = query.tenant {
        // Down to the next run of numbers in which this tenant has any.
        guard
          let span = try Self.span(
            of: tenant, "max(span)", "span <= ?", (high - 1) >> JobStatements.spanShift, db)
        else { return Outcome(hits: hits, next: nil) }
        high = min(high, (span + 1) << JobStatements.spanShift)
        if high <= first { break }
      }
      let low = window >= high - first ? first : high - window
      let began = ContinuousClock.now
      let wanted = isRanked ? limit : limit - hits.count
      hits += try fetch(statement, low, high, wanted)
      if isRanked {
        hits.sort { ($0.key, $0.seq) > ($1.key, $1.seq) }
        hits.removeLast(max(0, hits.count - limit))
      } else if hits.count == limit {
        return Outcome(
          hits: hits, next: hits.last.flatMap { $0.seq > first ? PageCursor(position: $0.seq) : nil })
      }
      high = low
      if ContinuousClock.now > deadline { break }
      window = Self.next(window, took: ContinuousClock.now - began)
    }
    if isRanked { return Outcome(hits: hits, next: nil, ranksFrom: high > first ? high : nil) }
    return Outcome(hits: hits, next: high > first ? PageCursor(position: high) : nil)
  }

  private func ascending(_ db: Database, from start: Int64, to last: Int64) throws -> Outcome {
    let statement = try db.makeStatement(sql: "SELECT j.seq, \(key) \(query.source) ORDER BY j.seq LIMIT ?")
    var hits: [Hit] = []
    var low = start
    var window = query.tenant == nil ? Self.firstWindow : 1 << JobStatements.spanShift
    while low <= last {
      if let tenant = query.tenant {
        guard
          let span = try Self.span(of: tenant, "min(span)", "span >= ?", low >> JobStatements.spanShift, db)
        else { return Outcome(hits: hits, next: nil) }
        low = max(low, span << JobStatements.spanShift)
        if low > last { break }
      }
      let high = window > last - low ? last + 1 : low + window
      let began = ContinuousClock.now
      hits += try fetch(statement, low, high, limit - hits.count)
      if hits.count == limit {
        return Outcome(
          hits: hits, next: hits.last.flatMap { $0.seq < last ? PageCursor(position: $0.seq) : nil })
      }
      low = high
      if ContinuousClock.now > deadline { break }
      window = Self.next(window, took: ContinuousClock.now - began)
    }
    return Outcome(hits: hits, next: low <= last ? PageCursor(position: low - 1) : nil)
  }

  private static func span(
    of tenant: Int64, _ which: String, _ bound: String, _ limit: Int64, _ db: Database
  ) throws -> Int64? {
    let statement = try db.cachedStatement(
      sql: "SELECT \(which) FROM job_spans WHERE tenant = ? AND \(bound)")
    guard let span = try Int64.fetchOne(statement, arguments: [tenant, limit]) else { return nil }
    return try FileNumber.checked(span << JobStatements.spanShift) >> JobStatements.spanShift
  }

  private var key: String {
    switch order {
    case .newest, .oldest: "0"
    case .slowest: "j.run_us"
    case .longestQueued: "j.queued_us"
    }
  }

  private func fetch(_ statement: GRDB.Statement, _ low: Int64, _ high: Int64, _ count: Int) throws -> [Hit] {
    let arguments = query.arguments(low: low, high: high) + [count]
    return try Row.fetchAll(statement, arguments: arguments).map {
      Hit(seq: $0.integer(0), key: $0.integer(1))
    }
  }

  private static func next(_ window: Int64, took: Duration) -> Int64 {
    took < .milliseconds(10)
      ? min(window * 4, largestWindow) : took > .milliseconds(40) ? max(window / 2, 256) : window
  }
}
