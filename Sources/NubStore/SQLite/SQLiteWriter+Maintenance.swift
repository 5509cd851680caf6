/// How far the writer's house-keeping has come; kept in memory, for all of it can begin anew.
struct RetentionProgress {
  enum Phase: CaseIterable {
    case results, failures, requests, spans, caps, cancels
  }

  /// nil while it rests.
  var phase: Phase?
  /// Everything up to here is kept for another reason, or gone.
  var lastResult: Int64 = 0
  var lastFailure: Int64 = 0
  var lastRequest: Int64 = 0
  var lastCap: Int64 = 0
  var lastTenant: Int64 = -1
  /// When this round began, and when the next may, in Unix milliseconds.
  var began: Int64 = 0
  var restUntil: Int64 = 0
  /// The length of the present rest.
  var rest: Int64 = 0

  /// Goes on to the next kind; nil after the last.
  mutating func advance() {
    switch phase {
    case .results: phase = .failures
    case .failures: phase = .requests
    case .requests: phase = .spans
    case .spans: phase = .caps
    case .caps: phase = .cancels
    case .cancels, nil: phase = nil
    }
  }
}

extension SQLiteWriter {
  /// Between two rounds of looking for what has expired, in milliseconds; and twenty times as long as a round took, for a round
  /// looks at every cap.
  private static let restMilliseconds: Int64 = 10_000
  private static let longestRest: Int64 = 10 * 60 * 1_000

  func maintain(_ policy: RetentionPolicy, now: Int64) throws(StoreError) -> Bool {
    if hasLogWorthMoving {
      try moveLog()
      return true
    }
    if progress.phase == nil {
      // A clock that was set back does not make the rest longer.
      guard now >= progress.restUntil || progress.restUntil > now + progress.rest else { return false }
      progress.phase = .results
      progress.began = now
      progress.lastCap = 0
      progress.lastTenant = -1
    }
    guard let phase = progress.phase else { return false }
    let hasMore = try slice(phase, policy, now)
    if !hasMore { progress.advance() }
    if progress.phase == nil {
      progress.rest = min(max(Self.restMilliseconds, 20 * (now - progress.began)), Self.longestRest)
      progress.restUntil = now + progress.rest
      if store.refusal != nil { try judgeSize() }
      return false
    }
    return true
  }

  private func slice(
    _ phase: RetentionProgress.Phase, _ policy: RetentionPolicy, _ now: Int64
  ) throws(StoreError) -> Bool {
    let rows = Int64(max(1, policy.sliceRows))
    let deadline = ContinuousClock.now + policy.sliceTime
    // Losing the removal of something expired in a power cut loses nothing.
    switch phase {
    case .results:
      guard let age = policy.results else { return false }
      return try removeJobs(before: now - age, rows, from: \.lastResult, failed: false, until: deadline)
    case .failures:
      guard let age = policy.failures else { return false }
      return try removeJobs(before: now - age, rows, from: \.lastFailure, failed: true, until: deadline)
    case .requests:
      guard let age = policy.requests else { return false }
      var cursor = progress.lastRequest
      let hasMore = try link.transaction(durable: false) { (_) throws(StoreError) in
        try retention.removeRequests(before: now - age, rows, after: &cursor, until: deadline)
      }
      progress.lastRequest = cursor
      return hasMore
    case .spans:
      return try removeSpans(rows)
    case .caps:
      guard let age = policy.caps else { return false }
      var cursor = progress.lastCap
      let hasMore = try link.transaction(durable: false) { (_) throws(StoreError) in
        try retention.removeCaps(unusedSince: now - age, rows, after: &cursor, until: deadline).hasMore
      }
      progress.lastCap = cursor
      return hasMore
    case .cancels:
      guard let age = policy.cancels else { return false }
      return try link.transaction(durable: false) { (connection) throws(StoreError) in
        try retention.removeCancels(before: now - age, rows, connection)
      }
    }
  }

  /// Goes from tenant to tenant that has any, not from number to number: a damaged one may be as large as numbers get.
  private func removeSpans(_ rows: Int64) throws(StoreError) -> Bool {
    let next = try link.connection.integer(
      "SELECT coalesce(min(tenant), -1) FROM job_spans WHERE tenant > \(progress.lastTenant)")
    guard next > progress.lastTenant else { return false }
    let tenants = next...max(next, min(next, Int64.max - 7) + 7)
    let hasMore = try link.transaction(durable: false) { (connection) throws(StoreError) in
      try retention.removeSpans(ofTenants: tenants, rows, connection)
    }
    if !hasMore { progress.lastTenant = tenants.upperBound }
    return true
  }

  private func removeJobs(
    before limit: Int64, _ rows: Int64, from cursor: WritableKeyPath<RetentionProgress, Int64>, failed: Bool,
    until deadline: ContinuousClock.Instant
  ) throws(StoreError) -> Bool {
    var last = progress[keyPath: cursor]
    let expired = try retention.expiredJobs(before: limit, rows, after: &last, failed: failed)
    if !expired.sequence.isEmpty {
      let count = try link.transaction(durable: false) { (_) throws(StoreError) in
        let count = try retention.removeJobs(expired.sequence, until: deadline)
        Failpoint.pass(.retentionDeleted)
        return count
      }
      if count < expired.sequence.count {
        progress[keyPath: cursor] = expired.sequence[count - 1]
        return true
      }
    }
    progress[keyPath: cursor] = last
    return expired.hasMore
  }
}
