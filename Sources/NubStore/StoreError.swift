/// What went wrong with the store, with a message that tells a person what to do about it.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure that a caller may treat differently.
  public enum Code: Sendable, Equatable, CaseIterable {
    /// The file system has no room, or a quota or file size limit of the process is reached.
    case diskFull
    /// The store has grown to its configured size; new work waits for retention.
    case sizeLimit
    /// The file or its directory cannot be written.
    case readOnly
    /// Another program holds the file's lock for longer than the busy timeout.
    case locked
    /// The file is damaged or truncated, or is no store.
    case corrupt
    /// A newer program made the file; this one would damage it.
    case newerVersion
    /// The file cannot be opened: missing, a directory, no permission.
    case cannotOpen
    /// Reading or writing failed below SQLite.
    case io
    /// A size or value that the store does not take, or a handle used after it was closed: the caller's mistake.
    case misuse
    /// Anything else that SQLite reports.
    case engine
  }

  public var code: Code
  /// One or two sentences: what happened, to which file, and what helps.
  public var message: String
  /// The extended SQLite result code, 0 if SQLite was not involved.
  public var sqliteCode: Int32
  /// The `errno` of a failed system call, 0 if none failed.
  public var errno: Int32

  public init(_ code: Code, _ message: String, sqliteCode: Int32 = 0, errno: Int32 = 0) {
    self.code = code
    self.message = message
    self.sqliteCode = sqliteCode
    self.errno = errno
  }

  /// Whether the same request may succeed later without anybody repairing the file: status 11 rather than 15.
  public var isTransient: Bool {
    switch code {
    case .diskFull, .sizeLimit, .readOnly, .locked: true
    case .corrupt, .newerVersion, .cannotOpen, .io, .misuse, .engine: false
    }
  }

  public var description: String {
    var text = message
    if sqliteCode != 0 { text += " (SQLite \(sqliteCode))" }
    if errno != 0 { text += " (errno \(errno))" }
    return text
  }
}
