public import NubCap

/// Questions of people. Read-only; works while workers run and never makes them wait. Any thread.
public protocol StoreQueries: AnyObject, Sendable {
  /// Finished jobs, page by page.
  /// - Parameters:
  ///   - limit: rows of a page, at most 10 000.
  ///   - cursor: of a page before; a ranking (`.slowest`, `.longestQueued`) has one page and refuses it.
  ///   - budget: how long to look before giving back what was found so far and a cursor; or a ranking of what was looked at, and
  ///     since when that is.
  func results(
    _ filter: ResultFilter, order: ResultOrder, limit: Int, after cursor: PageCursor?, budget: Duration
  ) throws(StoreError) -> Page<ResultRow>

  /// The finished jobs with this id: one for each tenant that used it, or the named tenant's.
  func result(jobID: [UInt8], tenant: String?) throws(StoreError) -> [ResultDetail]

  func statistics() throws(StoreError) -> StoreStatistics

  /// The last minutes in which anything finished, newest first; as many of them as can be added up within the budget, at least one.
  func throughput(minutes: Int, budget: Duration) throws(StoreError) -> [ThroughputRow]

  /// Caps in the order in which they were filed, newest first.
  func caps(
    _ filter: CapFilter, limit: Int, after cursor: PageCursor?, budget: Duration
  ) throws(StoreError) -> Page<CapRow>

  func cap(_ hash: CapHash) throws(StoreError) -> CapDetail?

  /// A cap's wire form.
  func capBytes(_ hash: CapHash) throws(StoreError) -> [UInt8]?

  /// Hashes the next caps anew: about as many as have `bytes` bytes together.
  func verifyCaps(after cursor: PageCursor?, bytes: Int64) throws(StoreError) -> CapVerification

  /// Everything that SQLite finds wrong with the file; empty if nothing. Reads the whole file.
  func integrityProblems() throws(StoreError) -> [String]
}

/// Interventions of people. They go through the same lock as the workers' commits, in small slices.
public protocol StoreMaintenance: AnyObject, Sendable {
  /// Removes finished jobs that match; returns how many, or with `dryRun` how many it would.
  /// - Parameter progress: called after each slice with the count so far; false ends it.
  func prune(_ filter: ResultFilter, dryRun: Bool, progress: (Int) -> Bool) throws(StoreError) -> Int

  /// Removes the results of a job id, so that the same message is new again.
  func forget(jobID: [UInt8], tenant: String?, dryRun: Bool) throws(StoreError) -> Int

  /// Forgets failed jobs whose request was kept, and puts the requests into the journal for whichever worker comes first.
  /// - Returns: how many could be retried, and how many matched but have no request.
  func retry(_ filter: ResultFilter, dryRun: Bool) throws(StoreError) -> (retried: Int, withoutRequest: Int)

  /// The same for one id.
  func retry(jobID: [UInt8], tenant: String?, dryRun: Bool) throws(StoreError) -> (
    retried: Int, withoutRequest: Int
  )

  /// Removes caps that nothing refers to and nobody used since `limit` (Unix milliseconds), again and again until none is left: what
  /// only the removed referred to goes as well.
  func collectCaps(
    unusedSince limit: Int64, dryRun: Bool, progress: (Int) -> Bool
  ) throws(StoreError) -> (caps: Int, bytes: Int64)
}
