internal import GRDBSQLite

extension StoreError {
  /// What SQLite's code means to the person who runs the worker.
  init(sqlite code: Int32, connection: OpaquePointer?, path: String) {
    let detail =
      connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) }
      ?? String(cString: sqlite3_errstr(code))
    let systemError = connection.map { Self.systemError(code, $0) } ?? 0
    self.init(sqlite: code, detail: detail, systemError: systemError, path: path)
  }

  /// The errno behind a failure. SQLite's own record of it is taken so late that clearing up may have changed it; the log's file, which is
  /// what commits write, remembers better.
  private static func systemError(_ code: Int32, _ connection: OpaquePointer) -> Int32 {
    var log: UnsafeMutablePointer<sqlite3_file>?
    if code & 0xFF == SQLITE_IOERR,
      sqlite3_file_control(connection, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK,
      let log, let methods = log.pointee.pMethods
    {
      var number: Int32 = 0
      if methods.pointee.xFileControl?(log, SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK, number != 0 {
        return number
      }
    }
    return sqlite3_system_errno(connection)
  }

  init(sqlite code: Int32, detail: String, systemError: Int32, path: String) {
    let kind = Code(sqlite: code, systemError: systemError)
    let message =
      switch kind {
      case .diskFull:
        "no room to write to \(path): free space on its file system, or raise the limit on file sizes; nothing acknowledged is lost"
      case .readOnly:
        "\(path) cannot be written: check the permissions of the file and its directory, and whether the file system is mounted read-only"
      case .locked:
        "\(path) is locked by another program: close the program that holds a transaction on it (fuser shows which)"
      case .corrupt:
        "\(path) is damaged or not a nub store (\(detail)): move it away and restore a backup, or let sqlite3's .recover save what it can"
      case .cannotOpen:
        "cannot open \(path): \(detail)"
      case .io:
        "reading or writing \(path) failed (\(detail)): check the disk"
      case .sizeLimit, .newerVersion, .misuse, .engine:
        "\(path): \(detail)"
      }
    self.init(kind, message, sqliteCode: code, errno: systemError)
  }
}

extension StoreError.Code {
  // errno values that SQLite reports as plain I/O errors but that mean "no room": EFBIG is a process's file size limit.
  private static let noSpace: [Int32] = [27 /* EFBIG */, 28 /* ENOSPC */, 122 /* EDQUOT */]

  init(sqlite code: Int32, systemError: Int32) {
    switch code & 0xFF {
    case SQLITE_FULL: self = .diskFull
    case SQLITE_IOERR: self = Self.noSpace.contains(systemError) ? .diskFull : .io
    case SQLITE_READONLY: self = .readOnly
    case SQLITE_PERM, SQLITE_AUTH: self = .readOnly
    case SQLITE_BUSY, SQLITE_LOCKED: self = .locked
    case SQLITE_CORRUPT, SQLITE_NOTADB: self = .corrupt
    case SQLITE_CANTOPEN: self = Self.noSpace.contains(systemError) ? .diskFull : .cannotOpen
    case SQLITE_TOOBIG, SQLITE_MISUSE, SQLITE_RANGE: self = .misuse
    default: self = .engine
    }
  }
}
