internal import Foundation
internal import GRDB
public import NubCap

extension SQLiteQueries {
  private static var columns: String {
    "c.cap, c.hash, c.kind, c.size, c.puts, c.skips, c.first_put_ms, c.last_used_ms, \(isIncomplete)"
  }

  private static var isIncomplete: String {
    """
    EXISTS (SELECT 1 FROM cap_refs r
      WHERE r.parent = c.cap AND NOT EXISTS (SELECT 1 FROM caps k WHERE k.hash = r.child_hash))
    """
  }

  public func caps(
    _ filter: CapFilter, limit: Int = 50, after cursor: PageCursor? = nil,
    budget: Duration = .milliseconds(100)
  ) throws(StoreError) -> Page<CapRow> {
    guard (1...10_000).contains(limit) else {
      throw StoreError(.misuse, "a page has 1 to 10000 rows, not \(limit)")
    }
    var conditions = ["c.cap >= ?", "c.cap < ?"]
    var arguments: [any DatabaseValueConvertible] = []
    if let kind = filter.kind {
      guard let number = Names.number(kind, in: Names.capKinds) else {
        throw StoreError(.misuse, "no such kind of cap: \(kind)")
      }
      conditions.append("c.kind = ?")
      arguments.append(number)
    }
    if let tenant = filter.tenant {
      conditions.append(
        "EXISTS (SELECT 1 FROM cap_tenants s JOIN tenants t ON t.tenant = s.tenant WHERE s.cap = c.cap AND t.name = ?)"
      )
      arguments.append(tenant)
    }
    if let limit = filter.unusedSince {
      conditions.append("c.last_used_ms < ?")
      arguments.append(limit)
    }
    if filter.onlyIncomplete { conditions.append(Self.isIncomplete) }
    let sql =
      "SELECT \(Self.columns) FROM caps c WHERE \(conditions.joined(separator: " AND ")) ORDER BY c.cap DESC LIMIT ?"
    let deadline = ContinuousClock.now + budget
    return try read { db in
      guard let first = try FileNumber.first(db, "SELECT min(cap) FROM caps"),
        let last = try FileNumber.first(db, "SELECT max(cap) FROM caps")
      else { return Page(rows: [], next: nil) }
      let statement = try db.makeStatement(sql: sql)
      var rows: [CapRow] = []
      var high = min(last + 1, cursor?.position ?? last + 1)
      while high > first {
        let low = max(first, high - 1_024)
        let window = StatementArguments([low, high] + arguments) + [limit - rows.count]
        rows += try Row.fetchAll(statement, arguments: window).map(CapRow.init)
        high = low
        if rows.count == limit { high = rows.last?.cap ?? low }
        if rows.count == limit || ContinuousClock.now > deadline { break }
      }
      return Page(rows: rows, next: high > first ? PageCursor(position: high) : nil)
    }
  }

  public func cap(_ hash: CapHash) throws(StoreError) -> CapDetail? {
    let bytes = Data(hash.bytes)
    return try read { db in
      guard
        let row = try Row.fetchOne(
          db, sql: "SELECT \(Self.columns) FROM caps c WHERE c.hash = ?", arguments: [bytes])
      else { return nil }
      let cap: Int64 = row.integer(0)
      let references = try Row.fetchAll(
        db,
        sql: """
          SELECT r.child_hash, EXISTS (SELECT 1 FROM caps k WHERE k.hash = r.child_hash)
          FROM cap_refs r WHERE r.parent = ?
          """, arguments: [cap])
      return CapDetail(
        row: CapRow(row),
        references: references.map {
          CapDetail.Reference(hash: Hex.text($0.blob(0) ?? Data()), isPresent: $0[1])
        },
        referredBy: try Int64.fetchOne(
          db, sql: "SELECT count(*) FROM cap_refs WHERE child_hash = ?", arguments: [bytes]) ?? 0,
        tenants: try String.fetchAll(
          db,
          sql:
            "SELECT t.name FROM cap_tenants s JOIN tenants t ON t.tenant = s.tenant WHERE s.cap = ? ORDER BY t.name",
          arguments: [cap]))
    }
  }

  public func capBytes(_ hash: CapHash) throws(StoreError) -> [UInt8]? {
    let bytes = Data(hash.bytes)
    return try read { db in
      try Data.fetchOne(
        db, sql: "SELECT b.wire FROM caps c JOIN cap_bodies b ON b.cap = c.cap WHERE c.hash = ?",
        arguments: [bytes]
      ).map { Array($0) }
    }
  }
}

extension CapRow {
  init(_ row: Row) {
    self.init(
      cap: row.integer(0), hash: Hex.text(row.blob(1) ?? Data()),
      kind: Names.word(row.integer(2), in: Names.capKinds), size: row.integer(3), puts: row.integer(4),
      skips: row.integer(5), isIncomplete: row[8], firstPutMilliseconds: row.integer(6),
      lastUsedMilliseconds: row.integer(7))
  }
}
