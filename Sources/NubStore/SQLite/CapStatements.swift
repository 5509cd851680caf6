internal import GRDBSQLite
internal import NubCap

/// Filing caps. The bytes lie apart from the row with the counters: counting must not rewrite a blob.
///
/// A tenant sees a cap that it has put, and whatever a cap it sees refers to. That is kept as rows, so that a look-up is one
/// probe, by two rules at each filing: a new cap is shown to those who see something that refers to it; and whoever begins to see
/// a cap begins to see what is below it. Nothing below a cap that somebody sees can be hidden from them, so the descent stops
/// at what is visible already, and each pair of cap and tenant costs its work once.
final class CapStatements {
  private let find: Statement
  private let insert: Statement
  private let insertBody: Statement
  private let insertReference: Statement
  private let countPut: Statement
  private let countUse: Statement
  private let show: Statement
  private let inherit: Statement
  private let viewers: Statement
  private let descend: Statement
  private let countMissing: Statement

  init(_ connection: borrowing Connection) throws(StoreError) {
    find = try Statement(connection, "SELECT cap FROM caps WHERE hash = ?1")
    insert = try Statement(
      connection,
      """
      INSERT INTO caps(hash, kind, size, first_put_ms, last_used_ms, puts, skips)
      VALUES(?1, ?2, ?3, \(SQL.now), \(SQL.now), 1, 0)
      """)
    insertBody = try Statement(connection, "INSERT INTO cap_bodies(cap, wire) VALUES(?1, ?2)")
    insertReference = try Statement(
      connection, "INSERT OR IGNORE INTO cap_refs(parent, child_hash) VALUES(?1, ?2)")
    countPut = try Statement(
      connection,
      "UPDATE caps SET puts = puts + 1, last_used_ms = max(last_used_ms, \(SQL.now)) WHERE cap = ?1")
    countUse = try Statement(
      connection,
      "UPDATE caps SET skips = skips + ?2, last_used_ms = max(last_used_ms, ?3) WHERE hash = ?1")
    show = try Statement(connection, "INSERT OR IGNORE INTO cap_tenants(cap, tenant) VALUES(?1, ?2)")
    inherit = try Statement(
      connection,
      """
      INSERT OR IGNORE INTO cap_tenants(cap, tenant)
      SELECT ?1, t.tenant FROM cap_refs r JOIN cap_tenants t ON t.cap = r.parent WHERE r.child_hash = ?2
      """)
    viewers = try Statement(connection, "SELECT tenant FROM cap_tenants WHERE cap = ?1")
    descend = try Statement(
      connection,
      """
      WITH RECURSIVE below(cap) AS (
        SELECT ?1
        UNION
        SELECT c.cap FROM below b JOIN cap_refs r ON r.parent = b.cap JOIN caps c ON c.hash = r.child_hash
        WHERE NOT EXISTS (SELECT 1 FROM cap_tenants t WHERE t.cap = c.cap AND t.tenant = ?2)
      )
      INSERT OR IGNORE INTO cap_tenants(cap, tenant) SELECT cap, ?2 FROM below
      """)
    countMissing = try Statement(
      connection,
      """
      SELECT count(*) FROM cap_refs r
      WHERE r.parent = ?1 AND NOT EXISTS (SELECT 1 FROM caps c WHERE c.hash = r.child_hash)
      """)
  }

  /// - Returns: the cap's number in this store.
  func file(_ new: NewCap, _ connection: borrowing Connection) throws(StoreError) -> Int64 {
    let hash = new.hash
    return try hash.withUnsafeBytes { (hash) throws(StoreError) -> Int64 in
      if let cap = try existing(hash) {
        countPut.bind(1, cap)
        try countPut.run()
        if try reveal(cap, to: new.tenant, connection) { try descend(from: cap, for: new.tenant) }
        return cap
      }
      let cap = try add(new, hash, connection)
      _ = try reveal(cap, to: new.tenant, connection)
      inherit.bind(1, cap)
      inherit.bind(2, blob: hash)
      try inherit.run()
      guard !new.references.isEmpty else { return cap }
      for tenant in try viewers(of: cap) { try descend(from: cap, for: tenant) }
      return cap
    }
  }

  /// How many of the caps that this one refers to are not here.
  func missingReferences(of cap: Int64) throws(StoreError) -> Int {
    countMissing.bind(1, cap)
    defer { countMissing.reset() }
    return try countMissing.step() ? Int(countMissing.int64(0)) : 0
  }

  func count(_ use: CapUse) throws(StoreError) {
    let hash = use.hash
    try hash.withUnsafeBytes { (hash) throws(StoreError) in
      countUse.bind(1, blob: hash)
      countUse.bind(2, Int64(use.skips))
      countUse.bind(3, use.lastUsedMilliseconds)
      try countUse.run()
    }
  }

  private func existing(_ hash: UnsafeRawBufferPointer) throws(StoreError) -> Int64? {
    find.bind(1, blob: hash)
    defer { find.reset() }
    return try find.step() ? find.int64(0) : nil
  }

  private func add(
    _ new: NewCap, _ hash: UnsafeRawBufferPointer, _ connection: borrowing Connection
  ) throws(StoreError) -> Int64 {
    insert.bind(1, blob: hash)
    insert.bind(2, Int64(new.kind))
    insert.bind(3, Int64(new.wire.count))
    try insert.run()
    Failpoint.pass(.capInserted)
    let cap = sqlite3_last_insert_rowid(connection.handle)
    try new.wire.withUnsafeBytes { (wire) throws(StoreError) in
      insertBody.bind(1, cap)
      insertBody.bind(2, blob: wire)
      try insertBody.run()
    }
    Failpoint.pass(.capBodyInserted)
    for index in new.references.indices {
      let child = new.references[index]
      try child.withUnsafeBytes { (child) throws(StoreError) in
        insertReference.bind(1, cap)
        insertReference.bind(2, blob: child)
        try insertReference.run()
      }
    }
    return cap
  }

  /// - Returns: whether the tenant did not see it before.
  private func reveal(
    _ cap: Int64, to tenant: TenantID, _ connection: borrowing Connection
  ) throws(StoreError) -> Bool {
    show.bind(1, cap)
    show.bind(2, tenant.rawValue)
    try show.run()
    return sqlite3_changes(connection.handle) == 1
  }

  private func viewers(of cap: Int64) throws(StoreError) -> [Int64] {
    viewers.bind(1, cap)
    defer { viewers.reset() }
    var tenants: [Int64] = []
    while try viewers.step() { tenants.append(viewers.int64(0)) }
    return tenants
  }

  private func descend(from cap: Int64, for tenant: TenantID) throws(StoreError) {
    try descend(from: cap, for: tenant.rawValue)
  }

  private func descend(from cap: Int64, for tenant: Int64) throws(StoreError) {
    descend.bind(1, cap)
    descend.bind(2, tenant)
    try descend.run()
  }
}
