internal import GRDBSQLite

/// A connection that writes, and the lock that every writer on this file, in whatever process, holds from the beginning of a
/// transaction to its end and during checkpoints.
///
/// SQLite before 3.51.3 can damage a log that several connections reset and write at once; the lock rules that out, and it makes waiting
/// for another worker cheaper and fairer than SQLite's own busy handler.
final class WriteConnection {
  let connection: Connection
  private let lock: OpenFileLock
  private let options: StoreOptions
  private let begin: Statement
  private let end: Statement
  private let undo: Statement
  private var isFull = true

  init(path: String, options: StoreOptions) throws(StoreError) {
    lock = try OpenFileLock(path: StoreFile.lockPath(path))
    connection = try Connection(path: path, access: .write, options: options)
    try connection.execute("PRAGMA synchronous=FULL")
    // Debian's SQLite zeroes what is deleted, so that each journal row and each expired result would be written once more
    // (docs/decisions/0305).
    try connection.execute("PRAGMA secure_delete=FAST")
    self.options = options
    begin = try Statement(connection, "BEGIN IMMEDIATE")
    end = try Statement(connection, "COMMIT")
    undo = try Statement(connection, "ROLLBACK")
  }

  /// Runs `body` in a transaction, and rolls it back if `body` throws.
  /// - Parameter durable: whether the disk must have it before this returns.
  func transaction<R>(
    durable: Bool, _ body: (borrowing Connection) throws(StoreError) -> R
  ) throws(StoreError) -> R {
    try lock.lock(timeoutMilliseconds: options.busyTimeoutMilliseconds)
    defer {
      lock.unlock()
      Failpoint.pass(.unlocked)
    }
    Failpoint.pass(.locked)
    try setSynchronous(full: durable && options.durability == .full)
    try begin.run()
    Failpoint.pass(.begun)
    let result: R
    do {
      result = try body(connection)
      Failpoint.pass(.beforeCommit)
      try end.run()
    } catch {
      // SQLite has rolled back by itself after some errors (disk full, I/O); then there is nothing to undo.
      if sqlite3_get_autocommit(connection.handle) == 0 { try? undo.run() }
      throw error
    }
    Failpoint.pass(.afterCommit)
    return result
  }

  /// Moves what the log holds into the database, as far as readers allow.
  /// - Returns: frames in the log, and how many of them are in the database now.
  func checkpoint(_ mode: Int32 = SQLITE_CHECKPOINT_PASSIVE) throws(StoreError) -> (
    log: Int, moved: Int
  ) {
    try lock.lock(timeoutMilliseconds: options.busyTimeoutMilliseconds)
    defer { lock.unlock() }
    Failpoint.pass(.checkpointing)
    var log: Int32 = 0
    var moved: Int32 = 0
    let code = sqlite3_wal_checkpoint_v2(connection.handle, nil, mode, &log, &moved)
    // Busy: somebody reads the old state; what could be moved has been.
    guard code == SQLITE_OK || code & 0xFF == SQLITE_BUSY else { throw connection.error(code) }
    Failpoint.pass(.checkpointed)
    return (Int(log), Int(moved))
  }

  /// Cuts the log short, if it is all in the database and nobody reads it, so that the database file is the whole store.
  func emptyLog() {
    sqlite3_busy_timeout(connection.handle, 0)
    defer { sqlite3_busy_timeout(connection.handle, options.busyTimeoutMilliseconds) }
    _ = try? checkpoint(SQLITE_CHECKPOINT_TRUNCATE)
  }

  private func setSynchronous(full: Bool) throws(StoreError) {
    guard full != isFull else { return }
    // This pragma acts when it is prepared, so it cannot be kept.
    try connection.execute(full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL")
    isFull = full
  }
}
