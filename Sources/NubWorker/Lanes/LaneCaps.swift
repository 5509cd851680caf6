internal import NubCap
internal import NubStore

/// Supplies a lane's sandbox with caps from the store: those that the tenant whose jobs run there may see, and with each the caps that
/// it refers to, many levels deep in one go, for a guest that needs a graph needs it whole.
///
/// Lane thread only: host functions run on the thread that entered the sandbox.
final class LaneCaps: CapSupply, @unchecked Sendable {
  // Sendable, because the sandbox's host functions hold a reference; they use it on the lane's thread only, like the lane.
  private let reader: any StoreReader
  /// Bytes of one answer; what a guest did not ask for by name is left out beyond it.
  private let maximumBytes: Int
  private var tenant = ShortBytes()

  /// Caps that come along without having been asked for.
  private static let maximumExtras = 1_024

  init(reader: any StoreReader, maximumBytes: Int) {
    self.reader = reader
    self.maximumBytes = maximumBytes
  }

  /// Jobs of this tenant are about to run.
  func begin(tenant: ShortBytes) { self.tenant = tenant }

  /// Nobody's jobs run.
  func end() { tenant = ShortBytes() }

  /// The cap's wire form, if this tenant may see it.
  func wire(of hash: CapHash, tenant: ShortBytes) throws(RequestError) -> [UInt8]? {
    do throws(StoreError) {
      var wire: [UInt8]?
      try reader.snapshot { () throws(StoreError) in wire = try reader.wire(of: hash, tenant: tenant) }
      return wire
    } catch {
      throw RequestError(error.isTransient ? .unavailable : .internal, "the store failed: \(error.message)")
    }
  }

  func fetch(_ hashes: [CapHash]) throws(CapSupplyError) -> [UInt8] {
    var answer: [UInt8] = []
    var missing: [CapHash] = []
    do throws(StoreError) {
      try reader.snapshot { () throws(StoreError) in try collect(hashes, &answer, &missing) }
    } catch {
      throw .failed(error.message)
    }
    guard missing.isEmpty else { throw .missing(missing) }
    return answer
  }

  /// Breadth first, so that what was asked for comes before what came along.
  private func collect(
    _ hashes: [CapHash], _ answer: inout [UInt8], _ missing: inout [CapHash]
  ) throws(StoreError) {
    var seen = Set(hashes)
    var next = hashes
    var extras = 0
    var isAskedFor = true
    while !next.isEmpty {
      var references: [CapHash] = []
      for hash in next {
        guard let wire = try reader.wire(of: hash, tenant: tenant) else {
          if isAskedFor { missing.append(hash) }
          continue
        }
        if !isAskedFor {
          extras += 1
          // The guest asks again for what it then still needs.
          guard extras <= Self.maximumExtras, answer.count + 4 + wire.count <= maximumBytes else { return }
        }
        withUnsafeBytes(of: UInt32(wire.count).littleEndian) { answer.append(contentsOf: $0) }
        answer.append(contentsOf: wire)
        if let view = try? CapView(validating: wire.span.bytes) {
          view.forEachReference { if seen.insert($0).inserted { references.append($0) } }
        }
      }
      guard missing.isEmpty else { return }
      next = references
      isAskedFor = false
    }
  }
}
