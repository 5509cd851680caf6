internal import GRDBSQLite
import NubCap

/// Look-ups through statements that are prepared once. One thread at a time, as `StoreReader` says.
final class SQLiteReader: StoreReader {
  private let connection: Connection
  private let begin: Statement
  private let end: Statement
  private let result: RecordedJobQuery
  private let tenantByName: Statement
  private let workerByID: Statement
  private let capVisible: Statement
  private let capWire: Statement
  private let capReferences: Statement
  private let cancelsAfter: Statement
  private let dataVersion: Statement

  private var tenants: [String: TenantID] = [:]
  private var workers: [WorkerID: String] = [:]
  /// Up to where cancels have been read, and the state of the file then.
  private var cancelsSeen: (version: Int64, last: CancelCursor) = (-1, .start)

  /// Names are chosen by producers; beyond this many, remembering starts anew.
  private static let rememberedNames = 16_384

  init(path: String, options: StoreOptions) throws(StoreError) {
    connection = try Connection(path: path, access: .read, options: options)
    begin = try Statement(connection, "BEGIN")
    end = try Statement(connection, "COMMIT")
    result = try RecordedJobQuery(connection)
    tenantByName = try Statement(connection, "SELECT tenant FROM tenants WHERE name = ?1")
    workerByID = try Statement(connection, "SELECT name FROM workers WHERE worker = ?1")
    capVisible = try Statement(
      connection,
      """
      SELECT c.last_used_ms FROM caps c JOIN cap_tenants t ON t.cap = c.cap AND t.tenant = ?2 WHERE c.hash = ?1
      """)
    capWire = try Statement(
      connection,
      """
      SELECT c.cap, c.kind, b.wire FROM caps c JOIN cap_tenants t ON t.cap = c.cap AND t.tenant = ?2
      JOIN cap_bodies b ON b.cap = c.cap WHERE c.hash = ?1
      """)
    capReferences = try Statement(connection, "SELECT child_hash FROM cap_refs WHERE parent = ?1")
    cancelsAfter = try Statement(
      connection, "SELECT cancel, tenant, job_id FROM cancels WHERE cancel > ?1 ORDER BY cancel")
    dataVersion = try Statement(connection, "PRAGMA data_version")
  }

  func snapshot(_ body: () throws(StoreError) -> Void) throws(StoreError) {
    try begin.run()
    // Ending a transaction that only read cannot fail in a way that matters.
    defer { try? end.run() }
    try body()
  }

  // MARK: Names

  func tenant(named name: UnsafeRawBufferPointer) throws(StoreError) -> TenantID? {
    if name.isEmpty { return .default }
    let key = String(decoding: name, as: UTF8.self)
    if let known = tenants[key] { return known }
    tenantByName.bind(1, text: name)
    defer { tenantByName.reset() }
    guard try tenantByName.step() else { return nil }
    let tenant = TenantID(rawValue: tenantByName.int64(0))
    if tenants.count >= Self.rememberedNames { tenants.removeAll() }
    tenants[key] = tenant
    return tenant
  }

  func workerName(_ worker: WorkerID) throws(StoreError) -> String {
    if let known = workers[worker] { return known }
    workerByID.bind(1, worker.rawValue)
    defer { workerByID.reset() }
    guard try workerByID.step() else { return "" }
    let name = workerByID.string(0)
    if workers.count >= Self.rememberedNames { workers.removeAll() }
    workers[worker] = name
    return name
  }

  // MARK: Jobs

  func recorded(
    _ jobID: UnsafeRawBufferPointer, tenant: TenantID, _ body: (borrowing RecordedJob) -> Void
  ) throws(StoreError) -> Bool {
    try result.find(jobID, tenant: tenant, body)
  }

  func cancels(
    after cursor: CancelCursor, _ body: (TenantID, UnsafeRawBufferPointer) -> Void
  ) throws(StoreError) -> CancelCursor {
    // Unchanged as long as no other connection commits; and this one never does.
    let version = try currentDataVersion()
    if version == cancelsSeen.version, cursor == cancelsSeen.last { return cursor }
    cancelsAfter.bind(1, cursor.rawValue)
    defer { cancelsAfter.reset() }
    var last = cursor
    while try cancelsAfter.step() {
      last = CancelCursor(rawValue: cancelsAfter.int64(0))
      body(TenantID(rawValue: cancelsAfter.int64(1)), cancelsAfter.bytes(2))
    }
    cancelsSeen = (version, last)
    return last
  }

  private func currentDataVersion() throws(StoreError) -> Int64 {
    defer { dataVersion.reset() }
    return try dataVersion.step() ? dataVersion.int64(0) : -1
  }

  // MARK: Caps

  func hasCap(_ hash: CapHash, tenant: TenantID) throws(StoreError) -> Bool {
    try lastUse(ofCap: hash, tenant: tenant) != nil
  }

  func lastUse(ofCap hash: CapHash, tenant: TenantID) throws(StoreError) -> Int64? {
    try hash.withUnsafeBytes { (bytes) throws(StoreError) in try lastUse(bytes, tenant) }
  }

  func missingCaps(
    _ hashes: UnsafeRawBufferPointer, tenant: TenantID, usedSince time: Int64, _ missing: (Int) -> Void
  ) throws(StoreError) {
    for index in 0..<hashes.count / CapHash.byteCount {
      let start = index * CapHash.byteCount
      let hash = UnsafeRawBufferPointer(rebasing: hashes[start..<start + CapHash.byteCount])
      guard let last = try lastUse(hash, tenant), last >= time else {
        missing(index)
        continue
      }
    }
  }

  private func lastUse(_ hash: UnsafeRawBufferPointer, _ tenant: TenantID) throws(StoreError) -> Int64? {
    capVisible.bind(1, blob: hash)
    capVisible.bind(2, tenant.rawValue)
    defer { capVisible.reset() }
    return try capVisible.step() ? capVisible.int64(0) : nil
  }

  func cap(
    _ hash: CapHash, tenant: TenantID, _ body: (UInt8, UnsafeRawBufferPointer) -> Void
  ) throws(StoreError) -> Bool {
    try withCap(hash, tenant) { _, kind, wire in body(kind, wire) }
  }

  private func withCap(
    _ hash: CapHash, _ tenant: TenantID, _ body: (_ cap: Int64, UInt8, UnsafeRawBufferPointer) -> Void
  ) throws(StoreError) -> Bool {
    try hash.withUnsafeBytes { (bytes) throws(StoreError) in
      capWire.bind(1, blob: bytes)
      capWire.bind(2, tenant.rawValue)
      defer { capWire.reset() }
      guard try capWire.step() else { return false }
      body(capWire.int64(0), UInt8(truncatingIfNeeded: capWire.int64(1)), capWire.bytes(2))
      return true
    }
  }

  func caps(
    reachableFrom roots: [CapHash], tenant: TenantID,
    found: (CapHash, Int, UnsafeRawBufferPointer) -> Bool, missing: (CapHash, Int) -> Void
  ) throws(StoreError) {
    var seen = Set<CapHash>(minimumCapacity: roots.count)
    var level = roots.filter { seen.insert($0).inserted }
    var depth = 0
    while !level.isEmpty {
      var parents: [Int64] = []
      for hash in level {
        var goOn = true
        let isThere = try withCap(hash, tenant) { cap, _, wire in
          parents.append(cap)
          goOn = found(hash, depth, wire)
        }
        if !isThere { missing(hash, depth) }
        guard goOn else { return }
      }
      level.removeAll(keepingCapacity: true)
      for parent in parents { try appendReferences(of: parent, to: &level, unless: &seen) }
      depth += 1
    }
  }

  private func appendReferences(
    of cap: Int64, to level: inout [CapHash], unless seen: inout Set<CapHash>
  ) throws(StoreError) {
    capReferences.bind(1, cap)
    defer { capReferences.reset() }
    while try capReferences.step() {
      guard let child = CapHash(capReferences.bytes(0)), seen.insert(child).inserted else { continue }
      level.append(child)
    }
  }
}
