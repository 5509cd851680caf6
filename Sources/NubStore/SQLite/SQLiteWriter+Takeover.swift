extension SQLiteWriter {
  func takeOver() throws(StoreError) -> [InheritedJournal] {
    // Looking costs a read of a table that is nearly empty; most of the time there is nobody to inherit from.
    guard try !orphanCandidates().isEmpty else { return [] }
    return try link.transaction(durable: true) { (connection) throws(StoreError) -> [InheritedJournal] in
      var inherited: [InheritedJournal] = []
      for candidate in try orphanCandidates(connection) {
        guard let worker = candidate.worker else {
          inherited += try adopt(from: nil, origin: .retried, connection)
          continue
        }
        // Having the lock means that its owner has ended. It is held until the rows are ours.
        let lock = try OpenFileLock(path: StoreFile.livenessPath(store.path, worker: worker.rawValue))
        guard try lock.tryLock() else { continue }
        Failpoint.pass(.takingOver)
        inherited += try adopt(
          from: worker, origin: candidate.hasStopped ? .stopped(worker) : .died(worker), connection)
        try end(worker, connection)
        Failpoint.pass(.tookOver)
        lock.removeFile()
      }
      return inherited
    }
  }

  private struct Candidate {
    var worker: WorkerID?
    var hasStopped: Bool
  }

  private func orphanCandidates() throws(StoreError) -> [Candidate] {
    try orphanCandidates(link.connection)
  }

  /// Owners of journal rows other than this worker, and workers that have not ended.
  private func orphanCandidates(_ connection: borrowing Connection) throws(StoreError) -> [Candidate] {
    let query = try Statement(
      connection,
      """
      SELECT j.worker, w.ended_ms IS NOT NULL FROM (SELECT DISTINCT worker FROM journal) j
      LEFT JOIN workers w ON w.worker = j.worker WHERE j.worker IS NOT ?1
      UNION
      SELECT worker, 0 FROM workers WHERE ended_ms IS NULL AND worker <> ?1
      """)
    query.bind(1, worker.rawValue)
    var candidates: [Candidate] = []
    while try query.step() {
      let worker = query.isNull(0) ? nil : WorkerID(rawValue: query.int64(0))
      candidates.append(Candidate(worker: worker, hasStopped: query.int64(1) != 0))
    }
    return candidates
  }

  private func adopt(
    from owner: WorkerID?, origin: InheritedJournal.Origin, _ connection: borrowing Connection
  ) throws(StoreError) -> [InheritedJournal] {
    let select = try Statement(
      connection, "SELECT batch, attempts, count, jobs FROM journal WHERE worker IS ?1 ORDER BY batch")
    select.bind(1, owner?.rawValue)
    var rows: [InheritedJournal] = []
    while try select.step() {
      rows.append(
        InheritedJournal(
          id: JournalID(rawValue: select.int64(0)), attempts: UInt32(truncatingIfNeeded: select.int64(1)),
          count: UInt32(truncatingIfNeeded: select.int64(2)), jobs: Array(select.bytes(3)), origin: origin))
    }
    select.reset()
    guard !rows.isEmpty else { return [] }
    let update = try Statement(connection, "UPDATE journal SET worker = ?2 WHERE worker IS ?1")
    update.bind(1, owner?.rawValue)
    update.bind(2, worker.rawValue)
    try update.run()
    return rows
  }

  private func end(_ worker: WorkerID, _ connection: borrowing Connection) throws(StoreError) {
    let update = try Statement(
      connection, "UPDATE workers SET ended_ms = coalesce(ended_ms, heartbeat_ms) WHERE worker = ?1")
    update.bind(1, worker.rawValue)
    try update.run()
  }
}
