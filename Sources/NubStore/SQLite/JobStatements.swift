internal import GRDBSQLite

/// Recording finished jobs: one insert each, never an update.
final class JobStatements {
  let recorded: RecordedJobQuery
  private let insert: Statement
  private let insertRequest: Statement
  private let insertSpan: Statement
  /// The run of numbers in which each tenant was last seen to have a job.
  private var spans: [TenantID: Int64] = [:]

  /// Jobs are numbered in runs of 2^10 for the question which of them are a tenant's. An index would answer it too, and would
  /// write one more page per tenant and commit.
  static let spanShift: Int64 = 10

  init(_ connection: borrowing Connection) throws(StoreError) {
    recorded = try RecordedJobQuery(connection)
    insert = try Statement(
      connection,
      """
      INSERT INTO jobs(tenant, job_id, verb, function, operand, digest, state, attempts, status, guest_status, worker, engine,
        image, sandbox, queued_us, run_us, accepted_ms, finished_ms, message, result)
      VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
      ON CONFLICT(job_id, tenant) DO NOTHING
      """)
    insertRequest = try Statement(connection, "INSERT OR REPLACE INTO requests(seq, request) VALUES(?1, ?2)")
    insertSpan = try Statement(connection, "INSERT OR IGNORE INTO job_spans(tenant, span) VALUES(?1, ?2)")
  }

  /// SQLite takes a row of less than a gigabyte; what comes near it is no job of this protocol.
  private static let maximumBytes = 1 << 30 - 1 << 16

  /// - Returns: false if the id has a result already; then nothing is changed.
  func insert(
    _ job: FinishedJob, worker: WorkerID, _ connection: borrowing Connection
  ) throws(StoreError) -> Bool {
    guard (1...64).contains(job.jobID.count) else {
      throw StoreError(.misuse, "a job id has 1 to 64 bytes, not \(job.jobID.count)")
    }
    guard job.body.count + job.message.count + job.operand.count <= Self.maximumBytes else {
      throw StoreError(.misuse, "a result of \(job.body.count) bytes is over what SQLite takes")
    }
    insert.bind(1, job.tenant.rawValue)
    insert.bind(3, Int64(job.verb))
    insert.bind(7, Names.state(ofStatus: job.status))
    insert.bind(8, Int64(job.attempts))
    insert.bind(9, Int64(job.status))
    insert.bind(10, job.guestStatus.map { Int64($0) })
    insert.bind(11, worker.rawValue)
    insert.bind(12, Int64(job.engine.rawValue))
    insert.bind(13, job.image?.rawValue)
    insert.bind(14, Int64(bitPattern: job.sandbox))
    insert.bind(15, Int64(clamping: job.queuedMicroseconds))
    insert.bind(16, Int64(clamping: job.runMicroseconds))
    insert.bind(17, job.acceptedMilliseconds)
    insert.bind(18, job.finishedMilliseconds)
    try insertBytes(of: job)
    guard sqlite3_changes(connection.handle) == 1 else { return false }
    try noteSpan(of: sqlite3_last_insert_rowid(connection.handle), tenant: job.tenant)
    if job.status != 0, job.request.count > 0 {
      try keepRequest(job.request, seq: sqlite3_last_insert_rowid(connection.handle))
    }
    return true
  }

  /// What was written since the last commit is gone.
  func forgetRolledBack() {
    spans.removeAll(keepingCapacity: true)
  }

  private func noteSpan(of seq: Int64, tenant: TenantID) throws(StoreError) {
    let span = seq >> Self.spanShift
    if spans[tenant] == span { return }
    insertSpan.bind(1, tenant.rawValue)
    insertSpan.bind(2, span)
    try insertSpan.run()
    if spans.count >= 65_536 { spans.removeAll(keepingCapacity: true) }
    spans[tenant] = span
  }

  /// Binds what is memory of the caller's, and inserts while it is in place.
  @inline(__always)
  private func insertBytes(of job: FinishedJob) throws(StoreError) {
    let digest = job.digest
    try digest.withUnsafeBytes { (digest) throws(StoreError) in
      insert.bind(6, blob: digest)
      try job.jobID.withUnsafeBytes { (id) throws(StoreError) in
        insert.bind(2, blob: id)
        try job.operand.withUnsafeBytes { (operand) throws(StoreError) in
          bind(operand: operand, verb: job.verb)
          try job.message.withUnsafeBytes { (message) throws(StoreError) in
            // An error without text is still told from a success: '' and NULL.
            if message.isEmpty, job.status == 0 { insert.bindNull(19) } else { bind(message: message) }
            try job.body.withUnsafeBytes { (body) throws(StoreError) in
              if body.isEmpty, job.status != 0 { insert.bindNull(20) } else { insert.bind(20, blob: body) }
              try insert.run()
            }
          }
        }
      }
    }
  }

  private func bind(message: UnsafeRawBufferPointer) {
    if message.isEmpty { insert.bind(19, copyOf: "") } else { insert.bind(19, text: message) }
  }

  /// The function of a call is a number that people filter by; any other operand is kept as it was.
  @inline(__always)
  private func bind(operand: UnsafeRawBufferPointer, verb: UInt8) {
    if verb == 0, operand.count == 4 {
      insert.bind(4, Int64(UInt32(littleEndian: operand.loadUnaligned(as: UInt32.self))))
      insert.bindNull(5)
    } else {
      insert.bindNull(4)
      if operand.isEmpty { insert.bindNull(5) } else { insert.bind(5, blob: operand) }
    }
  }

  private func keepRequest(_ request: StoreBytes, seq: Int64) throws(StoreError) {
    try request.withUnsafeBytes { (bytes) throws(StoreError) in
      insertRequest.bind(1, seq)
      insertRequest.bind(2, blob: bytes)
      try insertRequest.run()
    }
  }
}

/// Entering a guest image and the names of its functions.
final class ImageStatements {
  private let select: Statement
  private let insert: Statement
  private let insertFunction: Statement
  private let handle: OpaquePointer

  init(_ connection: borrowing Connection) throws(StoreError) {
    handle = connection.handle
    select = try Statement(connection, "SELECT image FROM images WHERE digest = ?1")
    insert = try Statement(
      connection, "INSERT INTO images(digest, name, first_used_ms) VALUES(?1, ?2, \(SQL.now))")
    insertFunction = try Statement(
      connection, "INSERT OR REPLACE INTO functions(image, function, name) VALUES(?1, ?2, ?3)")
  }

  func enter(_ image: ImageRecord) throws(StoreError) -> Int64 {
    try StoreBytes.array(image.digest).withUnsafeBytes { (digest) throws(StoreError) in
      select.bind(1, blob: digest)
      defer { select.reset() }
      if try select.step() { return select.int64(0) }
      insert.bind(1, blob: digest)
      insert.bind(2, copyOf: image.name)
      try insert.run()
      let id = sqlite3_last_insert_rowid(handle)
      for function in image.functions {
        insertFunction.bind(1, id)
        insertFunction.bind(2, Int64(function.id))
        insertFunction.bind(3, copyOf: function.name)
        try insertFunction.run()
      }
      return id
    }
  }
}
