/// How far the writer's house-keeping has come; kept in memory, for all of it can begin anew.
struct RetentionProgress {
  enum Phase: CaseIterable {
    case results, failures, spans, caps, cancels
  }

  var phase: Phase? = .results
  /// Everything up to here is kept for another reason, or gone.
  var lastResult: Int64 = 0
  var lastFailure: Int64 = 0
  var lastCap: Int64 = 0
  var lastTenant: Int64 = -1
  /// Unix milliseconds before which there is no point in looking again.
  var restUntil: Int64 = 0

  /// Goes on to the next kind; nil after the last.
  mutating func advance() {
    switch phase {
    case .results: phase = .failures
    case .failures: phase = .spans
    case .spans: phase = .caps
    case .caps: phase = .cancels
    case .cancels, nil: phase = nil
    }
  }
}

extension SQLiteWriter {
  /// Between two rounds of looking for what has expired, in milliseconds.
  private static let restMilliseconds: Int64 = 10_000

  func maintain(_ policy: RetentionPolicy, now: Int64) throws(StoreError) -> Bool {
    if hasLogWorthMoving {
      try moveLog()
      return true
    }
    if progress.phase == nil {
      guard now >= progress.restUntil || progress.restUntil > now + Self.restMilliseconds else {
        return false
      }
      progress.phase = .results
      progress.lastCap = 0
      progress.lastTenant = -1
    }
    guard let phase = progress.phase else { return false }
    let hasMore = try slice(phase, policy, now)
    if !hasMore { progress.advance() }
    if progress.phase == nil {
      progress.restUntil = now + Self.restMilliseconds
      if store.refusal != nil { try judgeSize() }
      return false
    }
    return true
  }

  private func slice(
    _ phase: RetentionProgress.Phase, _ policy: RetentionPolicy, _ now: Int64
  ) throws(StoreError) -> Bool {
    let rows = Int64(max(1, policy.sliceRows))
    // Losing the removal of something expired in a power cut loses nothing.
    switch phase {
    case .results:
      guard let age = policy.results else { return false }
      return try removeJobs(before: now - age, rows, from: \.lastResult, failed: false)
    case .failures:
      guard let age = policy.failures else { return false }
      return try removeJobs(before: now - age, rows, from: \.lastFailure, failed: true)
    case .spans:
      let last = try highestTenant()
      let tenants = progress.lastTenant + 1...min(progress.lastTenant + 8, max(last, progress.lastTenant + 1))
      try link.transaction(durable: false) { (_) throws(StoreError) in
        try retention.removeSpans(ofTenants: tenants)
      }
      progress.lastTenant = tenants.upperBound
      return tenants.upperBound < last
    case .caps:
      guard let age = policy.caps else { return false }
      var cursor = progress.lastCap
      let outcome = try link.transaction(durable: false) { (_) throws(StoreError) in
        try retention.removeCaps(unusedSince: now - age, rows, after: &cursor)
      }
      progress.lastCap = cursor
      return outcome
    case .cancels:
      guard let age = policy.cancels else { return false }
      return try link.transaction(durable: false) { (connection) throws(StoreError) in
        try retention.removeCancels(before: now - age, rows, connection)
      }
    }
  }

  private func highestTenant() throws(StoreError) -> Int64 {
    try link.connection.integer("SELECT max(tenant) FROM tenants")
  }

  private func removeJobs(
    before limit: Int64, _ rows: Int64, from cursor: WritableKeyPath<RetentionProgress, Int64>, failed: Bool
  ) throws(StoreError) -> Bool {
    var last = progress[keyPath: cursor]
    let expired = try retention.expiredJobs(before: limit, rows, after: &last, failed: failed)
    if !expired.sequence.isEmpty {
      try link.transaction(durable: false) { (_) throws(StoreError) in
        for seq in expired.sequence { try retention.removeJob(seq) }
        Failpoint.pass(.retentionDeleted)
      }
    }
    progress[keyPath: cursor] = last
    return expired.hasMore
  }
}
