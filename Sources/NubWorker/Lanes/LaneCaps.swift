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
  /// What this tenant's sandboxes were given.
  private var graphs = SuppliedGraphs()
  private var graphsTenant = ShortBytes()
  /// Caps that jobs have brought along: they may be on their way to the store still.
  private var brought = Set<CapHash>()
  private let committer: Committer
  /// When a use of a cap was last noted.
  private var noted: [CapHash: Monotonic] = [:]

  /// Retention counts in days; a call that names the same caps a thousand times a second does not need to say so each time.
  private static let noteInterval = Milliseconds(10 * 60 * 1_000)
  private static let maximumNoted = 16_384

  /// Hashes that one answer names as missing.
  private static let maximumMissing = 1_024
  /// Caps that come along without having been asked for.
  private static let maximumExtras = 1_024

  init(reader: any StoreReader, committer: Committer, maximumBytes: Int) {
    self.reader = reader
    self.committer = committer
    self.maximumBytes = maximumBytes
  }

  /// Jobs of this tenant are about to run.
  func begin(tenant: ShortBytes) {
    self.tenant = tenant
    remember(tenant)
  }

  /// Nobody's jobs run.
  func end() { tenant = ShortBytes() }

  /// A cap of this tenant's has been filed in the sandbox.
  func note(_ hash: CapHash, references: [CapHash], tenant: ShortBytes) {
    remember(tenant)
    graphs.note(hash, references: references)
    if brought.count >= SuppliedGraphs.maximum { brought.removeAll() }
    brought.insert(hash)
  }

  /// These were asked for by name, and the store has them: they are in use. What they refer to is kept with them.
  func noteUse(of hashes: [CapHash]) {
    if hashes.isEmpty { return }
    let now = Monotonic.now
    var uses: [NotedUse] = []
    for hash in hashes {
      if let last = noted[hash], now < last + Self.noteInterval { continue }
      if noted.count >= Self.maximumNoted { noted.removeAll() }
      noted[hash] = now
      uses.append(NotedUse(hash: hash))
    }
    if !uses.isEmpty { committer.note(uses: uses) }
  }

  private func remember(_ tenant: ShortBytes) {
    if graphsTenant == tenant { return }
    graphsTenant = tenant
    graphs.removeAll()
    brought.removeAll()
  }

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
      try reader.snapshot { () throws(StoreError) in
        try collect(hashes, &answer, &missing)
      }
    } catch {
      throw .failed(error.message)
    }
    guard missing.isEmpty else { throw .missing(missing) }
    noteUse(of: hashes)
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
          var own: [CapHash] = []
          view.forEachReference { own.append($0) }
          graphs.note(hash, references: own)
          for reference in own where seen.insert(reference).inserted { references.append(reference) }
        }
      }
      guard missing.isEmpty else { return }
      next = references
      isAskedFor = false
    }
  }

  /// A call found caps missing: these, and the other holes of the graphs whose roots its producer named, in the payload or in `caps`.
  /// Other graphs that lead to the same caps are not this call's business.
  func holes(_ missing: [CapHash], of job: Job) -> [CapHash] {
    remember(job.tenantName)
    let ancestors = graphs.ancestors(of: missing)
    guard !ancestors.isEmpty else { return missing }
    let roots = job.namedCaps(among: ancestors)
    var all = missing
    var seen = Set(missing)
    do throws(StoreError) {
      try reader.snapshot { () throws(StoreError) in
        for hash in graphs.below(roots) where !brought.contains(hash) && seen.insert(hash).inserted {
          guard all.count < Self.maximumMissing else { return }
          if try !reader.hasCap(hash, tenant: job.tenantName) { all.append(hash) }
        }
      }
    } catch {
      // What the guest asked for is missing all the same.
      return missing
    }
    return all
  }
}

extension Job {
  /// Bytes at the beginning of a payload in which hashes are looked for.
  private static let searchedBytes = 16 << 10

  /// Those of `hashes` that the call's producer has named.
  fileprivate func namedCaps(among hashes: Set<CapHash>) -> [CapHash] {
    var named = Set(options.caps).intersection(hashes)
    let searched = min(body.count, Self.searchedBytes)
    if searched >= CapHash.byteCount {
      for start in 0...searched - CapHash.byteCount {
        let bytes = UnsafeRawBufferPointer(rebasing: body[start..<start + CapHash.byteCount])
        if let hash = CapHash(bytes), hashes.contains(hash) { named.insert(hash) }
      }
    }
    return Array(named)
  }
}
