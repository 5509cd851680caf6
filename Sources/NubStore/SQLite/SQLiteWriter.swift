internal import GRDBSQLite
internal import Synchronization

/// The one writer of a process. Statements are prepared once; a commit is one transaction.
final class SQLiteWriter: StoreWriter {
  let worker: WorkerID
  let store: SQLiteStore
  let link: WriteConnection
  let jobs: JobStatements
  let journal: JournalStatements
  let caps: CapStatements
  let cancels: CancelStatements
  let retention: RetentionStatements
  private let heartbeat: Statement
  private let tenantByName: Statement
  private let pageCount: Statement
  private let freePages: Statement
  private let pageSize: Int64

  /// Held for as long as this worker lives: what others take for its life (takeover).
  private let registration: Registration
  private let journalCount = Atomic<UInt32>(0)
  private var tenants: [String: TenantID] = [:]
  /// Results that were there first, by index in `finished`; empty in all but rare commits.
  private var lost: [Int] = []
  /// Filed caps that refer to what is not here, by index in `caps`.
  private var incomplete: [(index: Int, missing: Int)] = []
  /// Frames in the log after the last commit, kept by SQLite's hook. Its address is stable and outlives the connection's use.
  private let logFrames: UnsafeMutablePointer<Int>
  private var framesLeftBehind = 0
  private var room: LogRoom
  private var commitsSinceSizeCheck = 0
  private var isClosed = false

  var progress = RetentionProgress()

  private static let rememberedNames = 16_384

  init(store: SQLiteStore, identity: WorkerIdentity) throws(StoreError) {
    self.store = store
    link = try WriteConnection(path: store.path, options: store.options)
    jobs = try JobStatements(link.connection)
    journal = try JournalStatements(link.connection)
    caps = try CapStatements(link.connection)
    cancels = try CancelStatements(link.connection)
    retention = try RetentionStatements(link.connection)
    heartbeat = try Statement(link.connection, "UPDATE workers SET heartbeat_ms = ?1 WHERE worker = ?2")
    tenantByName = try Statement(link.connection, "SELECT tenant FROM tenants WHERE name = ?1")
    pageCount = try Statement(link.connection, "PRAGMA page_count")
    freePages = try Statement(link.connection, "PRAGMA freelist_count")
    pageSize = try link.connection.integer("PRAGMA page_size")
    registration = try Self.register(identity, path: store.path, link: link)
    worker = registration.worker
    room = LogRoom(path: store.path, limit: store.options.checkpointBytes)
    logFrames = .allocate(capacity: 1)
    logFrames.initialize(to: 0)
    sqlite3_wal_hook(
      link.connection.handle,
      { context, _, _, frames in
        context?.assumingMemoryBound(to: Int.self).pointee = Int(frames)
        return SQLITE_OK
      }, logFrames)
    makeRoom()
  }

  deinit {
    // The connection may outlive this by a statement; it calls the hook on commits only, and nobody commits any more.
    sqlite3_wal_hook(link.connection.handle, nil, nil)
    logFrames.deallocate()
  }

  private final class Registration {
    let worker: WorkerID
    let liveness: OpenFileLock

    init(worker: WorkerID, liveness: consuming OpenFileLock) {
      self.worker = worker
      self.liveness = liveness
    }
  }

  /// Enters the worker's row and takes its lock, in this order inside one transaction: nobody sees the row of a living worker
  /// whose lock is free.
  private static func register(
    _ identity: WorkerIdentity, path: String, link: WriteConnection
  ) throws(StoreError) -> Registration {
    try link.transaction(durable: true) { (connection) throws(StoreError) -> Registration in
      let insert = try Statement(
        connection,
        """
        INSERT INTO workers(name, host, pid, version, started_ms, heartbeat_ms)
        VALUES(?1, ?2, ?3, ?4, \(SQL.now), \(SQL.now))
        """)
      insert.bind(1, copyOf: identity.name)
      insert.bind(2, copyOf: identity.host)
      insert.bind(3, Int64(identity.pid))
      insert.bind(4, copyOf: identity.version)
      try insert.run()
      Failpoint.pass(.workerInserted)
      let worker = WorkerID(rawValue: sqlite3_last_insert_rowid(connection.handle))
      guard worker.rawValue < 1 << 31 else {
        throw StoreError(.engine, "\(path) has seen 2^31 starts of workers; begin a new file")
      }
      let liveness = try OpenFileLock(path: StoreFile.livenessPath(path, worker: worker.rawValue))
      guard try liveness.tryLock() else {
        throw StoreError(
          .locked, "\(liveness.path) is locked by another program; nothing but nub should touch it")
      }
      Failpoint.pass(.workerLocked)
      return Registration(worker: worker, liveness: liveness)
    }
  }

  // MARK: Names

  func tenant(named name: UnsafeRawBufferPointer) throws(StoreError) -> TenantID {
    if name.isEmpty { return .default }
    guard name.count <= 64 else { throw StoreError(.misuse, "a tenant's name has at most 64 bytes") }
    let key = String(decoding: name, as: UTF8.self)
    if let known = tenants[key] { return known }
    // Not durable by itself: what refers to the number is committed later, and takes it along.
    let tenant = try link.transaction(durable: false) { (connection) throws(StoreError) -> TenantID in
      tenantByName.bind(1, text: name)
      defer { tenantByName.reset() }
      if try tenantByName.step() { return TenantID(rawValue: tenantByName.int64(0)) }
      let insert = try Statement(
        connection,
        "INSERT INTO tenants(name, first_seen_ms) VALUES(?1, \(SQL.now))")
      insert.bind(1, text: name)
      try insert.run()
      return TenantID(rawValue: sqlite3_last_insert_rowid(connection.handle))
    }
    if tenants.count >= Self.rememberedNames { tenants.removeAll() }
    tenants[key] = tenant
    return tenant
  }

  func image(_ image: ImageRecord) throws(StoreError) -> ImageID {
    try link.transaction(durable: true) { (connection) throws(StoreError) -> ImageID in
      let id = try ImageStatements(connection).enter(image)
      return ImageID(rawValue: id)
    }
  }

  func makeJournalID() -> JournalID {
    let count = journalCount.wrappingAdd(1, ordering: .relaxed).newValue
    return JournalID(rawValue: worker.rawValue << 32 | Int64(count))
  }

  // MARK: Commits

  func commit(
    _ batch: borrowing CommitBatch, lost deliver: (Int, borrowing RecordedJob) -> Void,
    incomplete report: (Int, Int) -> Void
  ) throws(StoreError) {
    guard !isClosed else { throw StoreError(.misuse, "this worker's store has been closed") }
    lost.removeAll(keepingCapacity: true)
    incomplete.removeAll(keepingCapacity: true)
    do {
      try write(batch)
    } catch {
      jobs.forgetRolledBack()
      store.setRefusal(
        error.isTransient || error.code == .io || error.code == .corrupt ? error : store.refusal)
      throw error
    }
    // The commit is done, and what comes after it must not say otherwise.
    try? noteSize()
    for cap in incomplete { report(cap.index, cap.missing) }
    for index in lost {
      let job = batch.finished[index]
      let isThere = try job.jobID.withUnsafeBytes { (id) throws(StoreError) in
        try jobs.recorded.find(id, tenant: job.tenant) { deliver(index, $0) }
      }
      if !isThere {
        // Retention or a person removed the older result between the commit and now. Then ours may stand.
        throw StoreError(.engine, "a recorded result vanished during a commit: commit again")
      }
    }
  }

  func settle() throws(StoreError) {
    defer { makeRoom() }
    if logBytes >= store.options.checkpointBytes { try moveLog() }
  }

  private func write(_ batch: borrowing CommitBatch) throws(StoreError) {
    try link.transaction(durable: batch.needsDurability) { (connection) throws(StoreError) in
      for index in batch.finished.indices {
        if try !jobs.insert(batch.finished[index], worker: worker, connection) { lost.append(index) }
        if index == 0 { Failpoint.pass(.jobInserted) }
      }
      Failpoint.pass(.jobsInserted)
      try file(batch.caps, connection)
      Failpoint.pass(.capsInserted)
      for index in batch.journalAdditions.indices {
        try journal.add(batch.journalAdditions[index], worker: worker)
      }
      Failpoint.pass(.journalAdded)
      for index in batch.journalUpdates.indices { try journal.update(batch.journalUpdates[index]) }
      Failpoint.pass(.journalUpdated)
      for index in batch.journalDeletions.indices { try journal.delete(batch.journalDeletions[index]) }
      Failpoint.pass(.journalDeleted)
      for index in batch.capUses.indices { try caps.count(batch.capUses[index]) }
      if let now = batch.heartbeat {
        heartbeat.bind(1, now)
        heartbeat.bind(2, worker.rawValue)
        try heartbeat.run()
      }
      Failpoint.pass(.countersUpdated)
      for index in batch.cancels.indices { try cancels.insert(batch.cancels[index]) }
      Failpoint.pass(.cancelsInserted)
    }
  }

  private func file(_ new: [NewCap], _ connection: borrowing Connection) throws(StoreError) {
    var referring: [(index: Int, cap: Int64)] = []
    for index in new.indices {
      let cap = try caps.file(new[index], connection)
      if !new[index].references.isEmpty { referring.append((index, cap)) }
    }
    // When all are filed: a batch may hold a cap before those that it refers to.
    for (index, cap) in referring {
      let missing = try caps.missingReferences(of: cap)
      if missing > 0 { incomplete.append((index, missing)) }
    }
  }

  // MARK: The log

  /// What the log holds, in bytes, after the last commit of this process.
  private var logBytes: Int64 {
    // Fewer frames than were left behind: the log has started over since.
    let frames = logFrames.pointee
    return Int64(frames >= framesLeftBehind ? frames - framesLeftBehind : frames) * (pageSize + 24)
  }

  /// Moves the log into the database, between commits: the next commit then starts the log over, unless a reader still needs it.
  func moveLog() throws(StoreError) {
    let result = try link.checkpoint()
    // With all frames moved, SQLite restarts the log at the next commit. Frames that a reader holds back are not tried again with
    // every commit, but when as many have come again.
    framesLeftBehind = result.moved < result.log ? result.log : 0
    logFrames.pointee = result.moved < result.log ? result.log : 0
  }

  /// Lets the next commits find room in the log's file. Nothing but fdatasync is quicker for it, so what goes wrong with it, after a commit
  /// that did not, is nobody's business.
  private func makeRoom() {
    let end = Int64(logFrames.pointee) * (pageSize + 24)
    guard store.options.durability == .full, room.isShort(at: end) else { return }
    try? link.transaction(durable: false) { (_) throws(StoreError) in room.grow(at: end) }
  }

  var hasLogWorthMoving: Bool { logBytes >= store.options.checkpointBytes / 4 }

  // MARK: The size limit

  /// Tells the doors to refuse work while the file is over its limit, and to take it again once retention has made room.
  private func noteSize() throws(StoreError) {
    commitsSinceSizeCheck += 1
    if store.options.maximumBytes != nil, commitsSinceSizeCheck < 16, store.refusal == nil { return }
    try judgeSize()
  }

  /// As ``noteSize()``, now.
  func judgeSize() throws(StoreError) {
    guard let limit = store.options.maximumBytes else {
      store.setRefusal(nil)
      return
    }
    commitsSinceSizeCheck = 0
    let used = try usedBytes()
    store.setRefusal(
      used < limit
        ? nil
        : StoreError(
          .sizeLimit,
          "the store holds \(used) bytes and is limited to \(limit): wait for retention, prune results, or raise the limit"
        ))
  }

  /// Pages in use, by whatever they hold; free ones inside the file count as room.
  func usedBytes() throws(StoreError) -> Int64 {
    defer {
      pageCount.reset()
      freePages.reset()
    }
    let pages = try pageCount.step() ? pageCount.int64(0) : 0
    let free = try freePages.step() ? freePages.int64(0) : 0
    return (pages - free) * pageSize
  }

  // MARK: The end

  func close() throws(StoreError) {
    guard !isClosed else { return }
    try link.transaction(durable: true) { (connection) throws(StoreError) in
      let end = try Statement(
        connection,
        "UPDATE workers SET ended_ms = \(SQL.now) WHERE worker = ?1")
      end.bind(1, worker.rawValue)
      try end.run()
    }
    isClosed = true
    link.emptyLog()
    registration.liveness.removeFile()
  }
}
