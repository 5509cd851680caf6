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
  private let capAge: Int64?
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
  private static let longestNoteInterval: Int64 = 10 * 60 * 1_000
  /// How long a cap's use is not noted again, in milliseconds. A part of the age at which it goes.
  private var noteInterval: Int64 { min(Self.longestNoteInterval, (capAge ?? .max) / 8) }
  private static let maximumNoted = 16_384

  /// Hashes that one answer names as missing.
  private static let maximumMissing = 1_024
  /// Caps that come along without having been asked for.
  private static let maximumExtras = 1_024

  /// - Parameter capAge: how long retention keeps what nobody uses, in milliseconds.
  init(reader: any StoreReader, committer: Committer, maximumBytes: Int, capAge: Int64? = nil) {
    self.reader = reader
    self.capAge = capAge
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
      if let last = noted[hash], now < last + Milliseconds(noteInterval) { continue }
      if noted.count >= Self.maximumNoted { noted.removeAll() }
      noted[hash] = now
      uses.append(NotedUse(hash: hash))
    }
    if !uses.isEmpty { committer.note(uses: uses) }
  }

  /// What calls found in the sandbox's own directory is in use, though nobody asked the store for it. The guest says so, which may be in
  /// the hands of hostile code: it is believed of caps that its tenant may see.
  func noteUses(in engine: any LaneEngine, of tenant: ShortBytes) {
    let used = engine.usedCaps(every: .milliseconds(noteInterval))
    guard !used.isEmpty else { return }
    var seen: [CapHash] = []
    // What cannot be looked up now is noted with its next use.
    try? reader.snapshot { () throws(StoreError) in
      for hash in used where try reader.hasCap(hash, tenant: tenant) { seen.append(hash) }
    }
    noteUse(of: seen)
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

  /// Whether the store has the cap of this put, and its tenant may see it. A hash that the producer has not claimed is a guess: then the
  /// bytes decide.
  func has(_ hash: CapHash, as put: Job, isClaimed: Bool) -> Bool {
    var isKnown = false
    // Where the look fails the put goes its full way, and says what is wrong there.
    try? reader.snapshot { () throws(StoreError) in
      guard let use = try reader.lastUse(ofCap: hash, tenant: put.tenantName),
        use >= Retention.keptSince(age: capAge)
      else { return }
      isKnown = isClaimed
      guard !isClaimed, let tenant = try reader.tenant(put.tenantName) else { return }
      _ = try reader.cap(hash, tenant: tenant) { _, wire in isKnown = wire.hasSameBytes(as: put.body) }
    }
    return isKnown
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
