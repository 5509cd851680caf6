import Foundation
import NubCap
import NubStore
import NubStoreSamples
import Testing

/// What the conformance suite needs of an implementation: fresh stores, and handles on them.
protocol StoreProvider {
  /// A new, empty store for each call.
  func makeStore(_ options: StoreOptions) throws -> StoreUnderTest
}

/// A store, and ways to ask it, as one test uses it.
struct StoreUnderTest {
  var store: any Store
  /// Opens the same store as another process would.
  var reopen: () throws -> any Store
  var queries: () throws -> any StoreQueries
  var maintenance: () throws -> any StoreMaintenance

  func makeWriter(_ name: String = "w") throws -> any StoreWriter {
    try store.makeWriter(WorkerIdentity(name: name, host: "host", pid: 1, version: "1"))
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

extension StoreWriter {
  /// Commits and returns the indices that lost, with the statuses that stand.
  @discardableResult
  func commit(_ fill: (inout CommitBatch) throws -> Void) throws -> [Int: UInt32] {
    var batch = CommitBatch()
    try fill(&batch)
    var lost: [Int: UInt32] = [:]
    try commit(batch) { index, winner in lost[index] = winner.status }
    return lost
  }

  func tenant(_ name: String) throws -> TenantID {
    try Array(name.utf8).withUnsafeBytes { (bytes) throws -> TenantID in try tenant(named: bytes) }
  }
}

/// A copy of a recorded job, to compare.
struct Recorded: Equatable {
  var status: UInt32
  var guestStatus: UInt32?
  var body: [UInt8]
  var digest: ContentDigest
  var worker: WorkerID
}

extension StoreReader {
  func find(_ id: String, tenant: TenantID = .default) throws -> Recorded? {
    var found: Recorded?
    let isThere = try Array(id.utf8).withUnsafeBytes { (bytes) throws -> Bool in
      try recorded(bytes, tenant: tenant) {
        found = Recorded(
          status: $0.status, guestStatus: $0.guestStatus, body: Array($0.body), digest: $0.digest,
          worker: $0.worker)
      }
    }
    #expect(isThere == (found != nil))
    return found
  }

  func tenant(_ name: String) throws -> TenantID? {
    try Array(name.utf8).withUnsafeBytes { (bytes) throws -> TenantID? in try tenant(named: bytes) }
  }

  func wire(_ hash: CapHash, tenant: TenantID = .default) throws -> [UInt8]? {
    var wire: [UInt8]?
    _ = try cap(hash, tenant: tenant) { _, bytes in wire = Array(bytes) }
    return wire
  }
}

/// Runs `body`, expects a `StoreError`, and returns it.
func storeError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) -> StoreError? {
  do {
    try body()
    Issue.record("expected a StoreError", sourceLocation: sourceLocation)
  } catch let error as StoreError {
    return error
  } catch {
    Issue.record("expected a StoreError, not \(error)", sourceLocation: sourceLocation)
  }
  return nil
}
