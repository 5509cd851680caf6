public import NubCap

/// What a worker remembers: caps, finished jobs, and jobs that it has pulled and not finished.
///
/// Three handles divide the work by thread. A ``StoreReader`` belongs to the thread that uses it (each front door, each lane has one);
/// the one ``StoreWriter`` of a process belongs to its committer thread; `Store` itself and its ``WorkBook`` may be used from any. Readers never wait for
/// the writer. SQLite is the first implementation (``SQLiteStore``); `NubStoreTesting` is what another has to pass.
public protocol Store: AnyObject, Sendable {
  /// Opens a reader, to be used on one thread at a time.
  func makeReader() throws(StoreError) -> any StoreReader

  /// Enters this process as a worker and opens its writer, to be used on one thread at a time. Once per process and store.
  func makeWriter(_ identity: WorkerIdentity) throws(StoreError) -> any StoreWriter

  /// Opens the book of what is under way on this store, in whatever process. Once per process and store. A database server's form of it:
  /// locks that belong to a session and are tried, never waited for, as PostgreSQL's `pg_try_advisory_lock`.
  func makeWorkBook() throws(StoreError) -> any WorkBook

  /// Why new work is to be refused, nil if it is welcome: the size limit is reached, or the last commit failed. The next commit that
  /// succeeds, be it a heartbeat, clears a failure; so commit heartbeats while there is a refusal. Any thread; costs
  /// one atomic load while all is well.
  var refusal: StoreError? { get }
}

/// Looks things up, with a connection of its own. Not `Sendable`: the thread that made it uses it.
public protocol StoreReader: AnyObject {
  /// Runs `body` on one consistent state of the store. Many look-ups in one snapshot cost a fraction of as many alone. Snapshots do
  /// not nest and should be short: the log cannot start over while one is open.
  func snapshot(_ body: () throws(StoreError) -> Void) throws(StoreError)

  /// The tenant's number, nil if nothing has been stored for a tenant of this name. The empty name is always known.
  func tenant(named name: UnsafeRawBufferPointer) throws(StoreError) -> TenantID?

  /// Hands the recorded result of a job to `body`; returns false, and allocates nothing, if there is none.
  func recorded(
    _ jobID: UnsafeRawBufferPointer, tenant: TenantID, _ body: (borrowing RecordedJob) -> Void
  ) throws(StoreError) -> Bool

  /// Whether the store has this cap and the tenant may see it.
  func hasCap(_ hash: CapHash, tenant: TenantID) throws(StoreError) -> Bool

  /// When the cap was last used as far as the store has been told, in Unix milliseconds; nil if ``hasCap(_:tenant:)`` denies it.
  func lastUse(ofCap hash: CapHash, tenant: TenantID) throws(StoreError) -> Int64?

  /// Calls `missing` in order with the index of every hash that ``hasCap(_:tenant:)`` denies, or that was last used before `time`.
  /// - Parameters:
  ///   - hashes: n times 32 bytes; a rest of fewer is ignored.
  ///   - time: Unix milliseconds.
  func missingCaps(
    _ hashes: UnsafeRawBufferPointer, tenant: TenantID, usedSince time: Int64, _ missing: (Int) -> Void
  ) throws(StoreError)

  /// Hands a cap's kind and wire form to `body`, while the call lasts; false if the store has none that the tenant may see.
  func cap(
    _ hash: CapHash, tenant: TenantID, _ body: (_ kind: UInt8, _ wire: UnsafeRawBufferPointer) -> Void
  ) throws(StoreError) -> Bool

  /// Hands out the caps asked for, then what they refer to, breadth first and each once, until `found` returns false.
  /// - Parameter missing: called for each of `roots`, and each cap referred to, that the store cannot show this tenant.
  func caps(
    reachableFrom roots: [CapHash], tenant: TenantID,
    found: (_ hash: CapHash, _ depth: Int, _ wire: UnsafeRawBufferPointer) -> Bool,
    missing: (_ hash: CapHash, _ depth: Int) -> Void
  ) throws(StoreError)

  /// Hands out the cancels that have come since `cursor`, from all processes, and returns the cursor to go on from. Costs under a
  /// microsecond when nothing has been committed since the last call.
  func cancels(
    after cursor: CancelCursor, _ body: (_ tenant: TenantID, _ jobID: UnsafeRawBufferPointer) -> Void
  ) throws(StoreError) -> CancelCursor

  /// The name under which a worker has registered; empty for an unknown one. Remembered.
  func workerName(_ worker: WorkerID) throws(StoreError) -> String
}

/// Changes the store, for one worker. Not `Sendable`: the committer thread uses it.
public protocol StoreWriter: AnyObject {
  /// This worker's number.
  var worker: WorkerID { get }

  /// The tenant's number; a new name is entered at once. Remembered. Names have at most 64 bytes.
  func tenant(named name: UnsafeRawBufferPointer) throws(StoreError) -> TenantID

  /// The image's number; a new image is entered.
  func image(_ image: ImageRecord) throws(StoreError) -> ImageID

  /// A new name for a journal row. No I/O; the only call that any thread may make at any time.
  func makeJournalID() -> JournalID

  /// Makes all of a batch's changes or, if it throws, none. When it returns, what ``CommitBatch/needsDurability`` is on disk, unless
  /// the store was opened with ``Durability/normal``.
  ///
  /// Committing the same batch again after an error is safe, also if the first try did reach the disk.
  /// - Parameters:
  ///   - lost: called after the commit for each finished job whose id already had a result, with the index in `finished` and
  ///     that result, which stands.
  ///   - incomplete: called after the commit for each cap that refers to caps which the store does not have even now, with the
  ///     index in `caps` and how many these are.
  func commit(
    _ batch: borrowing CommitBatch, lost: (_ index: Int, _ winner: borrowing RecordedJob) -> Void,
    incomplete: (_ index: Int, _ missing: Int) -> Void
  ) throws(StoreError)

  /// Does what the last commit has made due and none of those waits for who are told of it: to be called after each, once the replies are on
  /// their way. An error means no harm to anything committed, and that the next call will try again.
  func settle() throws(StoreError)

  /// Makes the journal rows of workers that have gone, and those of retried jobs, this worker's own, and returns them. A worker has
  /// gone when the lock on its liveness file can be had; one that is merely paused still holds it. For the start, and from time
  /// to time after.
  func takeOver() throws(StoreError) -> [InheritedJournal]

  /// Does one small piece of house-keeping: moves the log into the database when that is due, or removes a slice of what is older
  /// than the policy says. To be called when nothing waits to be committed, and now and then under load.
  /// - Parameter now: Unix milliseconds.
  /// - Returns: whether there is more to do at once.
  func maintain(_ policy: RetentionPolicy, now: Int64) throws(StoreError) -> Bool

  /// Ends this worker in good order: what it leaves in the journal is not suspected of having killed it. Without it (a crash) the
  /// same happens to its journal, with suspicion.
  func close() throws(StoreError)
}

extension StoreWriter {
  /// The same for those who do not ask which caps are incomplete.
  public func commit(
    _ batch: borrowing CommitBatch, lost: (_ index: Int, _ winner: borrowing RecordedJob) -> Void
  ) throws(StoreError) {
    try commit(batch, lost: lost, incomplete: { _, _ in })
  }
}
