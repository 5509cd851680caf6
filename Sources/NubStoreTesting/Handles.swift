package import NubCap
package import NubStore
package import Testing

extension StoreWriter {
  /// Commits and returns the indices that lost, with the statuses that stand.
  @discardableResult
  package func commit(_ fill: (inout CommitBatch) throws -> Void) throws -> [Int: UInt32] {
    var batch = CommitBatch()
    try fill(&batch)
    var lost: [Int: UInt32] = [:]
    try commit(batch) { index, winner in lost[index] = winner.status }
    try settle()
    return lost
  }

  package func tenant(_ name: String) throws -> TenantID {
    try Array(name.utf8).withUnsafeBytes { (bytes) throws -> TenantID in try tenant(named: bytes) }
  }
}

/// A copy of a recorded job, to compare.
package struct Recorded: Equatable {
  package var status: UInt32
  package var guestStatus: UInt32?
  package var body: [UInt8]
  package var digest: ContentDigest
  package var worker: WorkerID
}

extension StoreReader {
  package func find(_ id: String, tenant: TenantID = .default) throws -> Recorded? {
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

  package func tenant(_ name: String) throws -> TenantID? {
    try Array(name.utf8).withUnsafeBytes { (bytes) throws -> TenantID? in try tenant(named: bytes) }
  }

  package func wire(_ hash: CapHash, tenant: TenantID = .default) throws -> [UInt8]? {
    var wire: [UInt8]?
    _ = try cap(hash, tenant: tenant) { _, bytes in wire = Array(bytes) }
    return wire
  }
}

/// Runs `body`, expects a `StoreError`, and returns it.
package func storeError(_ body: () throws -> Void, sourceLocation: SourceLocation = #_sourceLocation)
  -> StoreError?
{
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
