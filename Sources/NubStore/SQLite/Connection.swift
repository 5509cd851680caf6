internal import CNubSQLite
internal import GRDBSQLite

/// A connection to a SQLite file, for statements that run often. It closes itself.
///
/// It is opened without SQLite's mutexes: whoever owns it uses it on one thread at a time.
struct Connection: ~Copyable {
  let handle: OpaquePointer
  let path: String

  enum Access {
    case read
    case write
  }

  init(path: String, access: Access, options: StoreOptions) throws(StoreError) {
    let opened = try Self.open(path, access)
    do {
      try Self.configure(opened, path: path, access: access, options: options)
    } catch {
      sqlite3_close_v2(opened)
      throw error
    }
    handle = opened
    self.path = path
  }

  /// A connection that only has the file open: no page of it is read, and nothing is made beside it.
  init(looking path: String) throws(StoreError) {
    handle = try Self.open(path, .read)
    self.path = path
  }

  private static func open(_ path: String, _ access: Access) throws(StoreError) -> OpaquePointer {
    let mode = access == .read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
    guard let opened, code == SQLITE_OK else {
      let error = StoreError(sqlite: code, connection: opened, path: path)
      sqlite3_close_v2(opened)
      throw error
    }
    return opened
  }

  private static func configure(
    _ handle: OpaquePointer, path: String, access: Access, options: StoreOptions
  ) throws(StoreError) {
    // "Checkpoints run on the writer's connection only", and there when the writer says so.
    sqlite3_wal_autocheckpoint(handle, 0)
    forbidCheckpointOnClose(handle)
    sqlite3_busy_timeout(handle, options.busyTimeoutMilliseconds)
    let code = sqlite3_exec(handle, "PRAGMA cache_size=-\(options.cacheBytes / 1024)", nil, nil, nil)
    guard code == SQLITE_OK else { throw StoreError(sqlite: code, connection: handle, path: path) }
  }

  /// Closing a connection leaves the log alone, even if it is the last one.
  static func forbidCheckpointOnClose(_ handle: OpaquePointer) {
    _ = nub_sqlite_no_checkpoint_on_close(UnsafeMutableRawPointer(handle))
  }

  deinit {
    // v2 waits for statements that are finalized later.
    sqlite3_close_v2(handle)
  }

  /// Runs statements that have no parameters and whose rows nobody wants.
  borrowing func execute(_ sql: String) throws(StoreError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw error(code) }
  }

  /// The first column of the only row, as an integer.
  borrowing func integer(_ sql: String) throws(StoreError) -> Int64 {
    let statement = try Statement(self, sql)
    return try statement.step() ? statement.int64(0) : 0
  }

  borrowing func error(_ code: Int32) -> StoreError {
    StoreError(sqlite: code, connection: handle, path: path)
  }
}
