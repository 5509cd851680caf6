internal import GRDBSQLite

/// A prepared statement, kept for as long as its connection is used.
///
/// Binding copies nothing (`SQLITE_STATIC`): what is bound must stay in place until the statement is reset. The functions that bind
/// and step in one closure keep to that; nothing bound outlives them, because ``reset()`` also clears what points elsewhere.
struct Statement: ~Copyable {
  let handle: OpaquePointer
  private let path: String

  init(_ connection: borrowing Connection, _ sql: String) throws(StoreError) {
    var prepared: OpaquePointer?
    let code = sqlite3_prepare_v3(
      connection.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
    guard code == SQLITE_OK, let prepared else { throw connection.error(code) }
    handle = prepared
    path = connection.path
  }

  deinit {
    sqlite3_finalize(handle)
  }

  // MARK: Parameters, counted from 1

  // Binding fails only for an index that the statement does not have, or a blob over SQLite's limit (1 GB), which leaves the
  // parameter NULL; sizes are checked before.

  @inline(__always)
  borrowing func bind(_ index: Int32, _ value: Int64) {
    sqlite3_bind_int64(handle, index, value)
  }

  @inline(__always)
  borrowing func bind(_ index: Int32, _ value: Int64?) {
    if let value { sqlite3_bind_int64(handle, index, value) } else { sqlite3_bind_null(handle, index) }
  }

  /// No bytes are stored as a blob of length 0, not as NULL.
  @inline(__always)
  borrowing func bind(_ index: Int32, blob: UnsafeRawBufferPointer) {
    if let base = blob.baseAddress {
      sqlite3_bind_blob64(handle, index, base, UInt64(blob.count), nil)
    } else {
      sqlite3_bind_zeroblob(handle, index, 0)
    }
  }

  @inline(__always)
  borrowing func bind(_ index: Int32, text: UnsafeRawBufferPointer) {
    let base = text.baseAddress?.assumingMemoryBound(to: CChar.self)
    sqlite3_bind_text64(handle, index, base, UInt64(text.count), nil, UInt8(SQLITE_UTF8))
  }

  @inline(__always)
  borrowing func bindNull(_ index: Int32) {
    sqlite3_bind_null(handle, index)
  }

  /// Binds a copy of `text`.
  borrowing func bind(_ index: Int32, copyOf text: String) {
    // SQLITE_TRANSIENT, which the importer leaves out because it is a cast.
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    var text = text
    text.withUTF8 { bytes in
      let base = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
      _ = sqlite3_bind_text64(handle, index, base, UInt64(bytes.count), transient, UInt8(SQLITE_UTF8))
    }
  }

  // MARK: Running

  /// Goes to the next row; false at the end.
  @inline(__always)
  borrowing func step() throws(StoreError) -> Bool {
    let code = sqlite3_step(handle)
    if code == SQLITE_ROW { return true }
    if code == SQLITE_DONE { return false }
    throw failure(code)
  }

  /// Runs a statement that has no rows.
  @inline(__always)
  borrowing func run() throws(StoreError) {
    let code = sqlite3_step(handle)
    sqlite3_reset(handle)
    if code != SQLITE_DONE, code != SQLITE_ROW { throw failure(code) }
  }

  /// Ends a query: its locks and pointers into the page cache go.
  @inline(__always)
  borrowing func reset() {
    sqlite3_reset(handle)
  }

  private borrowing func failure(_ code: Int32) -> StoreError {
    StoreError(sqlite: code, connection: sqlite3_db_handle(handle), path: path)
  }

  // MARK: Columns, counted from 0

  @inline(__always)
  borrowing func int64(_ column: Int32) -> Int64 {
    sqlite3_column_int64(handle, column)
  }

  @inline(__always)
  borrowing func isNull(_ column: Int32) -> Bool {
    sqlite3_column_type(handle, column) == SQLITE_NULL
  }

  /// A blob's or a text's bytes, good until the next step or reset.
  @inline(__always)
  borrowing func bytes(_ column: Int32) -> UnsafeRawBufferPointer {
    let base = sqlite3_column_blob(handle, column)
    return UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(handle, column)))
  }

  /// A copy of a text; bytes that are not UTF-8 are repaired.
  borrowing func string(_ column: Int32) -> String {
    String(decoding: bytes(column), as: UTF8.self)
  }
}
