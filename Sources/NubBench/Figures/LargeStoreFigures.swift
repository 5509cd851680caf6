import Glibc
import NubCap
import NubStore

/// Questions to a store that has grown, and its house-keeping.
enum LargeStoreFigures {
  static let all: [Scenario] = [questions, retention]

  private static let newest: [(name: String, set: @Sendable (inout ResultFilter) -> Void)] = [
    ("all", { _ in }),
    ("tenant", { $0.tenant = "tenant-3" }),
    ("rare_tenant", { $0.tenant = "rare" }),
    ("failed", { $0.onlyFailures = true }),
    ("status", { $0.statuses = [5] }),
    ("state", { $0.state = "quarantined" }),
    ("function", { $0.function = "sha256" }),
    ("worker", { $0.worker = "bench" }),
    ("verb", { $0.verb = "call" }),
    ("since", { $0.since = LargeStore.time(ofJob: 990_000) }),
    (
      "tenant_failed",
      { filter in
        filter.tenant = "tenant-3"
        filter.onlyFailures = true
      }
    ),
  ]

  /// A million jobs of ten tenants, one in a hundred failed, and 100 000 caps. One tenant has a single job among the first.
  private static let questions = Scenario(
    "store_1m",
    [
      Measure("store_lookup", "µs"), Measure("store_duplicate_put", "µs"),
      Measure("store_find_missing_10k", "ms"),
    ] + newest.map { Measure("store_newest_\($0.name)", "ms") } + [
      Measure("store_newest_caps", "ms"), Measure("store_stats", "ms"), Measure("store_start", "ms"),
      Measure("store_bytes_per_job", "bytes"), Measure("store_bytes_per_cap", "bytes"),
    ]
  ) { context throws(BenchError) in
    let store = try LargeStore(
      context.storePath("million"), jobs: context.scaled(1_000_000, minimum: 20_000),
      caps: context.scaled(100_000, minimum: 10_000))
    return Contest { () throws(BenchError) in
      var values: [Double?] = [
        try store.lookup(20_000), try store.duplicatePut(20_000), try store.findMissing(10_000),
      ]
      for question in newest { values.append(try store.newest(question.set)) }
      values += [try store.newestCaps(), try store.statistics(), try store.start()]
      values += [store.bytesPerJob, store.bytesPerCap]
      return values
    }
  }

  /// Removing 200 000 expired jobs with ids at random and 20 000 caps, while the log is left alone: how long a slice keeps the writer
  /// from a commit.
  private static let retention = Scenario(
    "retention",
    [
      Measure("retention_slice_p50", "ms"), Measure("retention_slice_p99", "ms"),
      Measure("retention_slice_max", "ms"), Measure("retention_slice_cpu_p50", "ms of CPU"),
      Measure("retention_slice_cpu_max", "ms of CPU"), Measure("retention_rate", "rows/s"),
    ], rounds: 1
  ) { context throws(BenchError) in
    let jobs = context.scaled(200_000, minimum: 20_000)
    let caps = context.scaled(20_000, minimum: 2_000)
    let path = context.storePath("retention")
    return Contest { () throws(BenchError) in
      removeStore(path)
      let store = try LargeStore(path, jobs: jobs, caps: caps, randomIDs: true)
      let taken = try store.expireEverything()
      let slices = taken.map(\.seconds).sorted()
      let cpu = taken.map(\.cpu).sorted()
      return [
        percentile(slices, 0.5) * 1e3, percentile(slices, 0.99) * 1e3, (slices.last ?? 0) * 1e3,
        percentile(cpu, 0.5) * 1e3, (cpu.last ?? 0) * 1e3, Double(jobs + caps) / slices.reduce(0, +),
      ]
    }
  }
}

/// A store that has been filled as a worker's committer fills it.
private final class LargeStore {
  private let path: String
  private let jobs: Int
  private let caps: Int
  private let randomIDs: Bool
  private let store: SQLiteStore
  private let reader: any StoreReader
  private let queries: SQLiteQueries
  private(set) var bytesPerJob = 0.0
  private(set) var bytesPerCap = 0.0
  private var random: UInt64 = 88_172_645_463_325_252

  static func time(ofJob job: Int) -> Int64 { 1_700_000_000_000 + Int64(job) * 10 }

  init(_ path: String, jobs: Int, caps: Int, randomIDs: Bool = false) throws(BenchError) {
    self.path = path
    self.jobs = jobs
    self.caps = caps
    self.randomIDs = randomIDs
    let sizes = try stored { () throws(StoreError) in
      var options = StoreOptions()
      options.durability = .normal
      let store = try SQLiteStore(path: path, options: options)
      let writer = try store.makeWriter(identity)
      try fillJobs(writer, jobs, randomIDs)
      let afterJobs = try settle(writer, store.path)
      try fillCaps(writer, caps)
      let afterCaps = try settle(writer, store.path)
      try writer.close()
      return (afterJobs, afterCaps)
    }
    bytesPerJob = sizes.0 / Double(jobs)
    bytesPerCap = (sizes.1 - sizes.0) / Double(caps)
    let opened = try stored { () throws(StoreError) in
      let store = try SQLiteStore(path: path)
      return (store, try store.makeReader(), try SQLiteQueries(path: path))
    }
    (store, reader, queries) = opened
  }

  /// Microseconds for a result by its id, each in a snapshot of its own, as one message alone has it.
  func lookup(_ count: Int) throws(BenchError) -> Double {
    var found = 0
    let seconds = try timed { () throws(BenchError) in
      for _ in 0..<count {
        let id = jobID(next(below: jobs), random: randomIDs)
        try stored { () throws(StoreError) in
          try reader.snapshot { () throws(StoreError) in
            _ = try StoreBytes.array(id).withUnsafeBytes { (id) throws(StoreError) in
              try reader.recorded(id, tenant: .default) { _ in found += 1 }
            }
          }
        }
      }
    }
    // Of ten tenants one is the default.
    guard found > 0 else { throw BenchError(.wrongResult, "no result was found") }
    return seconds / Double(count) * 1e6
  }

  /// Microseconds to find out that a claimed cap is there.
  func duplicatePut(_ count: Int) throws(BenchError) -> Double {
    let hashes = try (0..<256).map { _ throws(BenchError) in try cap(next(below: caps)).hash }
    let seconds = try timed { () throws(BenchError) in
      for index in 0..<count {
        let isThere = try stored { () throws(StoreError) in
          var isThere = false
          try reader.snapshot { () throws(StoreError) in
            isThere = try reader.hasCap(hashes[index & 255], tenant: .default)
          }
          return isThere
        }
        guard isThere else { throw BenchError(.wrongResult, "a cap is not there") }
      }
    }
    return seconds / Double(count) * 1e6
  }

  /// Milliseconds for a question about many hashes, half of them known.
  func findMissing(_ count: Int) throws(BenchError) -> Double {
    var hashes: [UInt8] = []
    for index in 0..<count {
      if index % 2 == 0 {
        hashes += try cap(next(below: caps)).hash.bytes
      } else {
        hashes += (0..<4).flatMap { _ in bytes(of: next()) }
      }
    }
    let asked = hashes
    var missing = 0
    let seconds = try timed { () throws(BenchError) in
      try stored { () throws(StoreError) in
        try reader.snapshot { () throws(StoreError) in
          try StoreBytes.array(asked).withUnsafeBytes { (asked) throws(StoreError) in
            try reader.missingCaps(asked, tenant: .default, usedSince: .min) { _ in missing += 1 }
          }
        }
      }
    }
    guard missing == count / 2 else { throw BenchError(.wrongResult, "\(missing) of \(count) are missing") }
    return seconds * 1e3
  }

  /// Milliseconds for the newest 50 that a filter leaves.
  func newest(_ set: (inout ResultFilter) -> Void) throws(BenchError) -> Double {
    var filter = ResultFilter()
    set(&filter)
    let chosen = filter
    return try milliseconds { (queries) throws(StoreError) in
      _ = try queries.results(chosen, order: .newest, limit: 50, after: nil, budget: .milliseconds(100))
    }
  }

  func newestCaps() throws(BenchError) -> Double {
    try milliseconds { (queries) throws(StoreError) in _ = try queries.caps(CapFilter(), limit: 50) }
  }

  func statistics() throws(BenchError) -> Double {
    try milliseconds { (queries) throws(StoreError) in _ = try queries.statistics() }
  }

  private func milliseconds(
    _ ask: (SQLiteQueries) throws(StoreError) -> Void
  ) throws(BenchError) -> Double {
    let queries = queries
    return try timed { () throws(BenchError) in
      try stored { () throws(StoreError) in try ask(queries) }
    } * 1e3
  }

  /// Milliseconds until a worker could take its first job, as far as the store is concerned.
  func start() throws(BenchError) -> Double {
    var writer: (any StoreWriter)?
    let seconds = try timed { () throws(BenchError) in
      writer = try stored { () throws(StoreError) in
        let store = try SQLiteStore(path: path)
        let writer = try store.makeWriter(identity)
        _ = try writer.takeOver()
        _ = try store.makeReader()
        return writer
      }
    }
    let opened = writer
    try stored { () throws(StoreError) in try opened?.close() }
    return seconds * 1e3
  }

  /// Removes everything, and returns what each slice took, in seconds.
  func expireEverything() throws(BenchError) -> [(seconds: Double, cpu: Double)] {
    let now = LargeStore.time(ofJob: jobs) + 100 * RetentionPolicy.day
    var slices: [(seconds: Double, cpu: Double)] = []
    let path = path
    try stored { () throws(StoreError) in
      var options = StoreOptions()
      // The log is moved at other times, and takes what the disk takes.
      options.checkpointBytes = 1 << 40
      let store = try SQLiteStore(path: path, options: options)
      let writer = try store.makeWriter(identity)
      var policy = RetentionPolicy()
      policy.caps = -RetentionPolicy.day * 365 * 100
      var hasMore = true
      while hasMore {
        let cpu = cpuSeconds()
        let seconds = try timed { () throws(StoreError) in
          hasMore = try writer.maintain(policy, now: now)
        }
        slices.append((seconds, cpuSeconds() - cpu))
      }
      try writer.close()
    }
    let left = try stored { () throws(StoreError) in try SQLiteQueries(path: path).statistics() }
    guard left.jobs == 0, left.caps == 0 else {
      throw BenchError(.wrongResult, "\(left.jobs) jobs and \(left.caps) caps are left")
    }
    return slices
  }

  private func next() -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random
  }

  private func next(below limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

private let identity = WorkerIdentity(name: "bench", host: "bench", pid: getpid(), version: "bench")

private func bytes(of number: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
}

/// Sixteen bytes, in the order of time or at random, as UUIDv7 and UUIDv4 are.
private func jobID(_ job: Int, random: Bool) -> [UInt8] {
  let mixed = UInt64(job) &* 0x9E37_79B9_7F4A_7C15
  return bytes(of: random ? mixed : UInt64(job)) + bytes(of: mixed)
}

private func cap(_ number: Int) throws(BenchError) -> (hash: CapHash, wire: [UInt8]) {
  let wire: [UInt8] = [2, 4, 0, 0, 0] + bytes(of: UInt64(number)) + [UInt8](repeating: 7, count: 100)
  do throws(CapError) {
    return (try CapView(validating: wire.span.bytes).hashTreeRoot(), wire)
  } catch {
    throw BenchError(.wrongResult, "a cap of the bench is none", cause: error)
  }
}

private func fillJobs(_ writer: any StoreWriter, _ jobs: Int, _ randomIDs: Bool) throws(StoreError) {
  var tenants = [TenantID.default]
  for index in 1..<10 { tenants.append(try tenant("tenant-\(index)", writer)) }
  let rare = try tenant("rare", writer)
  let image = try writer.image(
    ImageRecord(digest: [1], name: "bench", functions: [(1, "echo"), (256, "sha256")]))
  let body = StoreBytes.array([UInt8](repeating: 7, count: 64))
  let message = StoreBytes.array(Array("the function failed for a reason of its own".utf8))
  guard let digest = [UInt8](repeating: 1, count: 16).withUnsafeBytes({ ContentDigest($0) }) else { return }
  var batch = CommitBatch()
  var next = 0
  while next < jobs {
    batch.removeAll()
    let end = min(next + 4_096, jobs)
    for job in next..<end {
      let status: UInt32 = job % 100 != 0 ? 0 : [3, 5, 6, 13][job / 100 % 4]
      let time = LargeStore.time(ofJob: job)
      batch.finished.append(
        FinishedJob(
          tenant: job == 100 ? rare : tenants[job % 10], jobID: .array(jobID(job, random: randomIDs)),
          operand: .array(job % 1_000 == 7 ? [0, 1, 0, 0] : [1, 0, 0, 0]), digest: digest, status: status,
          body: status == 0 ? body : .empty, message: status == 0 ? .empty : message, image: image,
          sandbox: 1,
          queuedMicroseconds: 120, runMicroseconds: UInt64(job % 1_000), acceptedMilliseconds: time,
          finishedMilliseconds: time, request: status == 0 ? .empty : body))
    }
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    next = end
  }
}

private func fillCaps(_ writer: any StoreWriter, _ caps: Int) throws(StoreError) {
  var batch = CommitBatch()
  var next = 0
  while next < caps {
    batch.removeAll()
    let end = min(next + 4_096, caps)
    for number in next..<end {
      guard let (hash, wire) = try? cap(number) else { continue }
      batch.caps.append(NewCap(hash: hash, kind: 2, wire: .array(wire), tenant: .default))
    }
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    next = end
  }
}

private func tenant(_ name: String, _ writer: any StoreWriter) throws(StoreError) -> TenantID {
  try StoreBytes.array(Array(name.utf8)).withUnsafeBytes { (name) throws(StoreError) in
    try writer.tenant(named: name)
  }
}

/// Moves the log into the file, removes nothing, and returns the file's size.
private func settle(_ writer: any StoreWriter, _ path: String) throws(StoreError) -> Double {
  var policy = RetentionPolicy()
  (policy.results, policy.failures, policy.requests, policy.caps) = (nil, nil, nil, nil)
  while try writer.maintain(policy, now: 1_700_000_000_000) {}
  return Double(try SQLiteQueries(path: path).statistics().fileBytes)
}
