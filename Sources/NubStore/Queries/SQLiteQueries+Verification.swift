internal import Foundation
internal import GRDB
internal import NubCap

/// Looking for damage, in a file that may have some: what cannot be read is named, and the rest is looked at all the same.
extension SQLiteQueries {
  public func verifyCaps(after cursor: PageCursor?, bytes: Int64) throws(StoreError) -> CapVerification {
    try readOneByOne { db in
      var outcome = CapVerification(checked: 0, checkedBytes: 0, damaged: [], problems: [], next: nil)
      var last = cursor?.position ?? 0
      do {
        let rows = try Row.fetchCursor(
          db, sql: Self.capFacts + " WHERE c.cap > ? ORDER BY c.cap", arguments: [last])
        while let row = try rows.next() {
          // The numbers of a damaged page may go down; nobody is sent back by them.
          last = max(last, row.integer(0))
          outcome.add(row)
          if outcome.checkedBytes >= bytes, last > cursor?.position ?? 0 {
            outcome.next = PageCursor(position: last)
            break
          }
        }
      } catch let error as DatabaseError where error.isDamage {
        try Self.verifyOneByOne(after: last, db, &outcome)
      }
      return outcome
    }
  }

  private static let capFacts = """
    SELECT c.cap, c.hash, c.kind, c.size, b.wire, (SELECT count(*) FROM cap_refs r WHERE r.parent = c.cap)
    FROM caps c LEFT JOIN cap_bodies b ON b.cap = c.cap
    """

  /// How many caps are looked at one by one before the quicker way is tried again: there are about as many on a page.
  private static let capsOneByOne = 64

  /// Goes past damage. The index by hash knows every cap, whatever became of its row.
  private static func verifyOneByOne(after cap: Int64, _ db: Database, _ outcome: inout CapVerification)
    throws
  {
    let names: [Row]
    do {
      names = try Row.fetchAll(
        db,
        sql: """
          SELECT cap, hash FROM caps INDEXED BY sqlite_autoindex_caps_1 WHERE cap > ? ORDER BY cap LIMIT ?
          """, arguments: [cap, capsOneByOne])
    } catch let error as DatabaseError where error.isDamage {
      outcome.problems.append(
        "the caps filed after number \(cap) cannot be read, nor the index that names them")
      return
    }
    if names.isEmpty {
      outcome.problems.append(
        "there is something unreadable behind cap number \(cap), the last that the index names")
    }
    for name in names {
      let number: Int64 = name.integer(0)
      do {
        // Without a row, it has been removed since, or the index is wrong, which is for ``integrityProblems()`` to say.
        if let found = try Row.fetchOne(db, sql: capFacts + " WHERE c.cap = ?", arguments: [number]) {
          outcome.add(found)
        }
      } catch let error as DatabaseError where error.isDamage {
        outcome.checked += 1
        outcome.damaged.append(name.blob(1).flatMap { CapHash(Array($0)) } ?? .zero)
      }
      outcome.next = PageCursor(position: number)
    }
  }

  public func integrityProblems() throws(StoreError) -> [String] {
    try readOneByOne { db in
      var problems: [String] = []
      if try Self.check("PRAGMA integrity_check", db, &problems) { return problems }
      // It gave up where it could not go on. What it did not come to is looked at table by table.
      let tables = try String.fetchAll(
        db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
      for table in tables
      where try !Self.check("PRAGMA integrity_check(\(table.quotedDatabaseIdentifier))", db, &problems) {
        problems.append("the table \(table) cannot be read as a whole")
      }
      return problems
    }
  }

  /// - Returns: whether the check came to its end.
  private static func check(_ sql: String, _ db: Database, _ problems: inout [String]) throws -> Bool {
    do {
      let rows = try Row.fetchCursor(db, sql: sql)
      while let row = try rows.next() {
        guard let text = row.text(0), text != "ok" else { continue }
        for line in text.split(separator: "\n")
        where !line.hasPrefix("***") && !problems.contains(String(line)) {
          problems.append(String(line))
        }
      }
      return true
    } catch let error as DatabaseError where error.isDamage {
      return false
    }
  }
}

extension DatabaseError {
  /// Whether it is the file's fault: unreadable as what it should be, or sizes and values that nobody wrote.
  fileprivate var isDamage: Bool {
    switch resultCode {
    case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_TOOBIG, .SQLITE_IOERR: true
    default: false
    }
  }
}

extension CapVerification {
  fileprivate mutating func add(_ row: Row) {
    let name = row.blob(1).flatMap { CapHash(Array($0)) } ?? .zero
    let wire = row.blob(4)
    checked += 1
    checkedBytes += Int64(wire?.count ?? 0)
    let facts = CapFacts(
      hash: name, kind: row.integer(2), size: row.integer(3), references: row.integer(5))
    if wire.flatMap({ CapFacts(ofWire: Array($0)) }) != facts { damaged.append(name) }
  }
}

/// What a cap's row says of its bytes.
private struct CapFacts: Equatable {
  var hash: CapHash
  var kind: Int64
  var size: Int64
  /// Different caps that it refers to.
  var references: Int64
}

extension CapFacts {
  /// What the bytes say themselves; nil if they are no cap.
  init?(ofWire wire: [UInt8]) {
    guard let view = try? CapView(validating: wire.span.bytes) else { return nil }
    self.init(
      hash: view.hashTreeRoot(), kind: Int64(view.kind.rawValue), size: Int64(wire.count),
      references: Int64(Set(view.references).count))
  }
}
