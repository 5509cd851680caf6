internal import GRDB

/// The tables, by version. Migrations are numbered, never changed once released, and go forward only.
enum Schema {
  /// What this program writes and reads; kept in the file as `PRAGMA user_version`.
  static let version: Int64 = 1
  /// `PRAGMA application_id`: "nub1" in ASCII, so that `file` and others can tell the format.
  static let applicationID: Int64 = 0x6E75_6231

  static var migrator: DatabaseMigrator {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("1") { db in
      try db.execute(sql: SchemaV1.tables)
      try db.execute(sql: SchemaV1.views)
      try db.execute(sql: "PRAGMA application_id=\(applicationID); PRAGMA user_version=1")
    }
    return migrator
  }
}
