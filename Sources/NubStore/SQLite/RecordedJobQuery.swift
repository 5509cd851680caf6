/// The look-up of a finished job by its id; readers have it, and the writer, for results that were there first.
struct RecordedJobQuery: ~Copyable {
  private let statement: Statement

  init(_ connection: borrowing Connection) throws(StoreError) {
    statement = try Statement(
      connection,
      """
      SELECT status, guest_status, digest, attempts, worker, engine, sandbox, queued_us, run_us, finished_ms,
        CASE status WHEN 0 THEN result ELSE message END
      FROM jobs WHERE tenant = ?1 AND job_id = ?2
      """)
  }

  borrowing func find(
    _ jobID: UnsafeRawBufferPointer, tenant: TenantID, _ body: (borrowing RecordedJob) -> Void
  ) throws(StoreError) -> Bool {
    statement.bind(1, tenant.rawValue)
    statement.bind(2, blob: jobID)
    defer { statement.reset() }
    guard try statement.step() else { return false }
    guard let digest = ContentDigest(statement.bytes(2)) else {
      throw StoreError(
        .corrupt,
        "a recorded job has a digest of fewer than 16 bytes: the store was changed by another program")
    }
    body(
      RecordedJob(
        status: UInt32(truncatingIfNeeded: statement.int64(0)),
        guestStatus: statement.isNull(1) ? nil : UInt32(truncatingIfNeeded: statement.int64(1)),
        body: statement.bytes(10),
        digest: digest,
        attempts: UInt32(truncatingIfNeeded: statement.int64(3)),
        worker: WorkerID(rawValue: statement.int64(4)),
        engine: Engine(rawValue: UInt8(truncatingIfNeeded: statement.int64(5))),
        sandbox: UInt64(bitPattern: statement.int64(6)),
        queuedMicroseconds: UInt64(bitPattern: statement.int64(7)),
        runMicroseconds: UInt64(bitPattern: statement.int64(8)),
        finishedMilliseconds: statement.int64(9)))
    return true
  }
}
