import Foundation
import NubStore
import NubStoreTesting
import Testing

@Suite struct SQLiteConformance {
  @Test(arguments: Promise.all) func keepsThePromise(_ promise: Promise) throws {
    try promise.check(SQLiteProvider())
  }
}

struct SQLiteProvider: StoreProvider {
  func makeStore(_ options: StoreOptions) throws -> StoreUnderTest {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let store = try SQLiteStore(path: path, options: options)
    return StoreUnderTest(
      store: store, reopen: { try SQLiteStore(path: folder.path("store.db"), options: options) },
      queries: { try SQLiteQueries(path: folder.path("store.db")) },
      maintenance: { try SQLiteMaintenance(path: folder.path("store.db")) })
  }
}

/// A folder that goes when nobody refers to it any more.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/nub-store-" + UUID().uuidString
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
  }

  func path(_ name: String) -> String { path + "/" + name }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }
}
