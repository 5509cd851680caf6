internal import NubCap
internal import NubStore

/// Look-ups in the worker's own terms: tenants by name, results and caps as copies.
extension StoreReader {
  /// nil: nothing is stored for this tenant.
  func tenant(_ name: ShortBytes) throws(StoreError) -> TenantID? {
    if name.isEmpty { return .default }
    return try name.withUnsafeBytes { (bytes) throws(StoreError) in try tenant(named: bytes) }
  }

  func result(of id: UnsafeRawBufferPointer, tenant name: ShortBytes) throws(StoreError) -> RecordedResult? {
    guard let tenant = try tenant(name) else { return nil }
    var result: RecordedResult?
    _ = try recorded(id, tenant: tenant) { result = RecordedResult($0) }
    return result
  }

  func hasCap(_ hash: CapHash, tenant name: ShortBytes) throws(StoreError) -> Bool {
    guard let tenant = try tenant(name) else { return false }
    return try hasCap(hash, tenant: tenant)
  }

  func lastUse(ofCap hash: CapHash, tenant name: ShortBytes) throws(StoreError) -> Int64? {
    guard let tenant = try tenant(name) else { return nil }
    return try lastUse(ofCap: hash, tenant: tenant)
  }

  func wire(of hash: CapHash, tenant name: ShortBytes) throws(StoreError) -> [UInt8]? {
    guard let tenant = try tenant(name) else { return nil }
    var wire: [UInt8]?
    _ = try cap(hash, tenant: tenant) { _, bytes in wire = [UInt8](bytes) }
    return wire
  }
}
