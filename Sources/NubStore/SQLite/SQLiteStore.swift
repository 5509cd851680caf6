internal import CNubSQLite
internal import Synchronization

/// The store in one SQLite file, in WAL mode: documented, and meant to be opened with `sqlite3` by whoever has a question.
///
/// Several worker processes may share the file on one machine. Next to it lie SQLite's own `-wal` and `-shm`, a `-lock` that serialises
/// commits and checkpoints, a `-work` that says who is at what (``WorkBook``), and a `-worker-N` per living worker that this worker keeps
/// locked. All of them have mode 0600.
public final class SQLiteStore: Store {
  /// The database file.
  public let path: String
  public let options: StoreOptions
  private let refusing = Atomic<Bool>(false)
  private let reason = Mutex<StoreError?>(nil)

  /// The door's reader and the committer's writer would meet at that lock, for numbers that nobody asks for. If SQLite is in use
  /// already, it goes on counting.
  private static let countsNoMemory = nub_sqlite_no_memory_statistics()

  /// Opens the file, making it or bringing it up to date if need be.
  ///
  /// Throws `.newerVersion` for a file of a later program, `.corrupt` for one that is damaged, truncated or no store, and `.cannotOpen`,
  /// `.readOnly`, `.diskFull` or `.locked`; the file is then as it was.
  public init(path: String, options: StoreOptions = StoreOptions()) throws(StoreError) {
    let path = StoreFile.resolved(path)
    self.path = path
    self.options = Failpoint.adjusted(options)
    _ = Self.countsNoMemory
    try StoreFile.prepare(path: path, options: options)
  }

  /// Whether a store can have this path, by its looks alone: `:memory:` and `file:` URIs are no files.
  ///
  /// - Throws: `.misuse`, as ``init(path:options:)`` would.
  public static func check(path: String) throws(StoreError) { try StoreFile.check(path: path) }

  public func makeReader() throws(StoreError) -> any StoreReader {
    try SQLiteReader(path: path, options: options)
  }

  public func makeWriter(_ identity: WorkerIdentity) throws(StoreError) -> any StoreWriter {
    try SQLiteWriter(store: self, identity: identity)
  }

  public func makeWorkBook() throws(StoreError) -> any WorkBook {
    try WorkFile(
      path: StoreFile.workPath(path), busyTimeoutMilliseconds: options.busyTimeoutMilliseconds)
  }

  public var refusal: StoreError? {
    refusing.load(ordering: .relaxed) ? reason.withLock { $0 } : nil
  }

  /// The writer's word on whether it can take more.
  func setRefusal(_ error: StoreError?) {
    if error == nil, !refusing.load(ordering: .relaxed) { return }
    reason.withLock { $0 = error }
    refusing.store(error != nil, ordering: .relaxed)
  }
}
