/// The journal: one row for each batch of jobs that was pulled and is not finished.
final class JournalStatements {
  private let insert: Statement
  private let setAttempts: Statement
  private let remove: Statement

  init(_ connection: borrowing Connection) throws(StoreError) {
    // Replaced, not refused: a commit may be tried again after an error whose transaction did reach the disk.
    insert = try Statement(
      connection,
      "INSERT OR REPLACE INTO journal(batch, worker, attempts, count, jobs) VALUES(?1, ?2, ?3, ?4, ?5)")
    setAttempts = try Statement(connection, "UPDATE journal SET attempts = ?2 WHERE batch = ?1")
    remove = try Statement(connection, "DELETE FROM journal WHERE batch = ?1")
  }

  func add(_ row: JournalAddition, worker: WorkerID) throws(StoreError) {
    insert.bind(1, row.id.rawValue)
    insert.bind(2, worker.rawValue)
    insert.bind(3, Int64(row.attempts))
    insert.bind(4, Int64(row.count))
    try row.jobs.withUnsafeBytes { (jobs) throws(StoreError) in
      insert.bind(5, blob: jobs)
      try insert.run()
    }
  }

  func update(_ row: JournalUpdate) throws(StoreError) {
    setAttempts.bind(1, row.id.rawValue)
    setAttempts.bind(2, Int64(row.attempts))
    try setAttempts.run()
  }

  func delete(_ id: JournalID) throws(StoreError) {
    remove.bind(1, id.rawValue)
    try remove.run()
  }
}

/// Cancels that other processes should see.
final class CancelStatements {
  private let insert: Statement

  init(_ connection: borrowing Connection) throws(StoreError) {
    insert = try Statement(connection, "INSERT INTO cancels(tenant, job_id, requested_ms) VALUES(?1, ?2, ?3)")
  }

  func insert(_ cancel: CancelRequest) throws(StoreError) {
    insert.bind(1, cancel.tenant.rawValue)
    insert.bind(3, cancel.requestedMilliseconds)
    try cancel.jobID.withUnsafeBytes { (id) throws(StoreError) in
      insert.bind(2, blob: id)
      try insert.run()
    }
  }
}
