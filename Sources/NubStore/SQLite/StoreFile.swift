internal import GRDB
internal import GRDBSQLite
internal import Glibc

/// Opening and judging the file, before any connection works on it.
enum StoreFile {
  static func lockPath(_ path: String) -> String { path + "-lock" }
  static func livenessPath(_ path: String, worker: Int64) -> String { "\(path)-worker-\(worker)" }
  static func workPath(_ path: String) -> String { path + "-work" }

  /// Refuses what SQLite takes for something else than a file: a store outlives its worker.
  static func check(path: String) throws(StoreError) {
    guard path.isEmpty || path == ":memory:" || path.hasPrefix("file:") else { return }
    let advice = path.isEmpty ? "" : ", or ./\(path) for a file of that name"
    throw StoreError(
      .misuse,
      "\"\(path)\" is SQLite's name for something else than a file, and a store is one: give a path such as nub.db\(advice)"
    )
  }

  /// The file that a symbolic link names. SQLite keeps the log beside that one, and workers that came by different names must meet at the
  /// same locks.
  static func resolved(_ path: String) -> String {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, let real = realpath(path, nil) else {
      return path
    }
    defer { free(real) }
    return String(cString: real)
  }

  /// Makes the file if it is missing, refuses it if it is not ours to write, and brings it up to date.
  static func prepare(path: String, options: StoreOptions) throws(StoreError) {
    // First what needs nothing but a look: a file that is refused gets no lock and no log beside it.
    try check(path: path)
    try create(path: path)
    guard access(path, W_OK) == 0 else { throw StoreError(opening: path, errno: errno) }
    try inspect(path: path)

    // Migrating is writing: one process at a time.
    let lock = try OpenFileLock(path: lockPath(path))
    try lock.lock(timeoutMilliseconds: options.busyTimeoutMilliseconds)
    defer { lock.unlock() }
    try migrate(path: path, options: options)
  }

  /// Makes the file if it is missing. SQLite would give it the umask's mode; its log gets the mode of the file.
  private static func create(path: String) throws(StoreError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor >= 0 {
      // A umask that takes the owner's bits, too, would make a store that the next start cannot open.
      fchmod(descriptor, 0o600)
      close(descriptor)
    } else if errno != EEXIST {
      throw StoreError(opening: path, errno: errno)
    }
    // A file that exists is never opened here: closing it would drop all locks that SQLite holds on it in this process, by the rules
    // of fcntl(2). What follows goes through SQLite, which knows.
  }

  /// Judges the file by its first 100 bytes and its size (SQLite's file format, section 1.3). Reading it all would be surer and
  /// would make a start take as long as the file is large.
  /// - Returns: whether the file holds a database already.
  @discardableResult
  static func inspect(path: String) throws(StoreError) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { throw StoreError(opening: path, errno: errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw StoreError(.cannotOpen, "\(path) is not a regular file")
    }
    guard access(path, R_OK) == 0 else {
      throw StoreError(
        .cannotOpen, "\(path) may not be read by this user: check its permissions", errno: errno)
    }
    if status.st_size == 0 {
      // A database whose every page is still in its log begins like this. A log of a file that was emptied looks the same; SQLite
      // then finds out when it reads on.
      return size(of: path + "-wal") > 0
    }
    let (header, fileSize) = try beginning(path: path)
    guard header.count == 100, header.starts(with: Array("SQLite format 3\0".utf8)) else {
      throw StoreError(.corrupt, "\(path) is not a nub store: it does not begin as a SQLite file does")
    }
    func big(_ offset: Int, _ count: Int) -> Int64 {
      header[offset..<offset + count].reduce(0) { $0 << 8 | Int64($1) }
    }
    // While the log holds frames, the first page may be in there, and the file may lawfully be shorter than its header says: a
    // checkpoint was cut off. SQLite then finds out.
    guard size(of: path + "-wal") == 0 else { return true }
    let pageSize = big(16, 2) == 1 ? 65_536 : big(16, 2)
    let pages = big(28, 4)
    if pages * pageSize > fileSize {
      throw StoreError(
        .corrupt,
        "\(path) is truncated: \(fileSize) bytes of \(pages * pageSize); restore a backup, or let sqlite3's .recover save what it can"
      )
    }
    // A table needs a page of its own, so a single page holds none.
    try check(version: big(60, 4), applicationID: big(68, 4), isEmpty: pages <= 1, path: path)
    return true
  }

  /// `SQLITE_IOERR_SHORT_READ`, an expression that is not imported: the rest of the buffer is zeros.
  private static let shortRead = SQLITE_IOERR | 2 << 8

  /// The first 100 bytes, fewer if there are not as many, and the size, read through a connection's own file handle.
  private static func beginning(path: String) throws(StoreError) -> (header: [UInt8], size: Int64) {
    // Nothing is asked of this connection: the first statement would make a log beside the file.
    let connection = try Connection(looking: path)
    var file: UnsafeMutablePointer<sqlite3_file>?
    let code = sqlite3_file_control(connection.handle, "main", SQLITE_FCNTL_FILE_POINTER, &file)
    guard code == SQLITE_OK, let file, let methods = file.pointee.pMethods else {
      throw connection.error(code)
    }
    var size: Int64 = 0
    var header = [UInt8](repeating: 0, count: 100)
    let read = methods.pointee.xRead?(file, &header, 100, 0) ?? SQLITE_IOERR
    let measured = methods.pointee.xFileSize?(file, &size) ?? SQLITE_IOERR
    guard measured == SQLITE_OK, read == SQLITE_OK || read == shortRead else {
      throw connection.error(SQLITE_IOERR)
    }
    return (Array(header.prefix(Int(clamping: size))), size)
  }

  static func size(of path: String) -> Int64 {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : 0
  }

  /// Throws unless a program of this version may write, or read, a file of that version.
  static func check(version: Int64, applicationID: Int64, isEmpty: Bool, path: String) throws(StoreError) {
    if version > Schema.version {
      throw StoreError(
        .newerVersion,
        "\(path) has schema version \(version), made by a newer nub; this one knows versions up to \(Schema.version): upgrade nub, or use another file"
      )
    }
    if !isEmpty, applicationID != Schema.applicationID {
      throw StoreError(.corrupt, "\(path) is a SQLite database of another program, not a nub store")
    }
  }

  private static func migrate(path: String, options: StoreOptions) throws(StoreError) {
    var configuration = Configuration()
    configuration.busyMode = .timeout(Double(options.busyTimeoutMilliseconds) / 1_000)
    configuration.label = "nub.migration"
    configuration.foreignKeysEnabled = false
    try StoreError.wrap(path: path) { () throws -> Void in
      let queue = try DatabaseQueue(path: path, configuration: configuration)
      defer { try? queue.close() }
      let version = try queue.read { db in try Self.version(of: db, path: path) }
      try queue.inDatabase { db in
        // Before the first table: the mode is a property of the file.
        if try String.fetchOne(db, sql: "PRAGMA journal_mode")?.lowercased() != "wal" {
          try db.execute(sql: "PRAGMA journal_mode=WAL")
        }
        try db.execute(sql: "PRAGMA synchronous=FULL")
      }
      if version < Schema.version { try Schema.migrator.migrate(queue) }
    }
  }

  /// The file's version, once it is one that this program may use.
  static func version(of db: Database, path: String) throws -> Int64 {
    let version = try Int64.fetchOne(db, sql: "PRAGMA user_version") ?? 0
    let application = try Int64.fetchOne(db, sql: "PRAGMA application_id") ?? 0
    let tables = try Int64.fetchOne(db, sql: "SELECT count(*) FROM sqlite_master") ?? 0
    try check(version: version, applicationID: application, isEmpty: tables == 0, path: path)
    return version
  }
}

extension StoreError {
  /// Runs GRDB code and turns what it throws into the store's own error.
  static func wrap<R>(path: String, _ body: () throws -> R) throws(StoreError) -> R {
    do {
      return try body()
    } catch let error as StoreError {
      throw error
    } catch let error as DatabaseError {
      throw StoreError(
        sqlite: error.extendedResultCode.rawValue, detail: error.message ?? "", systemError: 0, path: path)
    } catch {
      throw StoreError(.engine, "\(path): \(error)")
    }
  }
}
