internal import Glibc

/// The sizes of a store's files, looked up at each scrape: three stat(2), and nothing of SQLite.
public struct StoreMetrics: Sendable {
  let path: String
  let limit: Int64?

  public init(path: String, limit: Int64?) {
    self.path = path
    self.limit = limit
  }

  var databaseBytes: Int64 { Self.size(path) }
  var logBytes: Int64 { Self.size(path + "-wal") }

  /// Free bytes for this user; nil where the file system does not say.
  var freeBytes: UInt64? {
    var status = statvfs()
    let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    guard statvfs(folder, &status) == 0 else { return nil }
    return UInt64(status.f_bavail) &* UInt64(status.f_frsize)
  }

  public func write(to writer: inout ExpositionWriter) {
    writer.gauge("nub_store_bytes", databaseBytes, [("file", "database")])
    writer.gauge("nub_store_bytes", logBytes, [("file", "log")])
    if let limit { writer.gauge("nub_store_limit_bytes", limit) }
    if let freeBytes { writer.gauge("nub_store_disk_free_bytes", freeBytes) }
  }

  private static func size(_ path: String) -> Int64 {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : 0
  }
}
