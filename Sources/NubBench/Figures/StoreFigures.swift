import Glibc
import NubStore

/// NubStore alone: the group commit and the look-up, against the same statements from C on sqlite3.
enum StoreFigures {
  static let all: [Scenario] = [commit, lookup]

  /// Finished jobs of 64 bytes in time order, 256 a transaction, each on disk when it returns; with the journal rows that a pipeline's
  /// worker writes and deletes beside them. Per job.
  private static let commit = Scenario("commit_256", "µs", against: "C on sqlite3") {
    context throws(BenchError) in
    let scratch = context.scratch
    let jobs = context.scaled(50_000, minimum: 2_560)
    let figure = { () throws(BenchError) -> [Double?] in
      let path = "\(scratch)/commit.db"
      removeStore(path)
      let filler = try StoreFiller(path, .full)
      let seconds = try timed { () throws(BenchError) in try filler.record(jobs: 0..<jobs, batch: 256) }
      return [seconds / Double(jobs) * 1e6]
    }
    guard let program = context.baseline("commit") else { return Contest(figure: figure) }
    return Contest(figure: figure) { () throws(BenchError) in
      let path = "\(scratch)/commit-c.db"
      removeStore(path)
      let numbers = try runForNumbers(program, [path, "\(jobs)", "256", "64", "full"])
      return [try numbers.number("seconds") / Double(jobs) * 1e6]
    }
  }

  /// A recorded result by its id among a million, ids at random; one snapshot for 256 look-ups, as a front door does it.
  private static let lookup = Scenario("lookup_1m", "µs", against: "C on sqlite3") {
    context throws(BenchError) in
    let jobs = context.scaled(1_000_000, minimum: 10_000)
    let lookups = context.scaled(50_000, minimum: 1_000)
    let path = context.storePath("million")
    // Closed before anything is measured, so that the log is in the file.
    let filler = try StoreFiller(path, .normal)
    try filler.record(jobs: 0..<jobs, batch: 4_096)
    try filler.close()
    let reader = try StoreReading(path)
    return context.contest("lookup", [path, "\(jobs)", "\(lookups)"], reading: ["us"]) {
      () throws(BenchError) in
      try reader.lookups(lookups, among: jobs)
    }
  }
}

/// Gives NubStore's errors the type of this module.
func stored<R>(_ body: () throws(StoreError) -> R) throws(BenchError) -> R {
  do throws(StoreError) {
    return try body()
  } catch {
    throw BenchError(.unavailable, error.message, cause: error)
  }
}

/// The number of a job as its id: eight bytes, most significant first, and eight zeros. Time-ordered ids look like this to an index.
private func write(_ job: Int, into id: UnsafeMutableRawBufferPointer) {
  id.storeBytes(of: UInt64(job).bigEndian, toByteOffset: 0, as: UInt64.self)
  id.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
}

/// Records finished jobs as a worker's committer does.
private final class StoreFiller {
  private let store: SQLiteStore
  private let writer: any StoreWriter
  private let ids: UnsafeMutableRawBufferPointer
  private let payload: UnsafeMutableRawBufferPointer
  private static let mostJobs = 4_096
  private static let idBytes = 16

  init(_ path: String, _ durability: Durability) throws(BenchError) {
    var options = StoreOptions()
    options.durability = durability
    let chosen = options
    store = try stored { () throws(StoreError) in try SQLiteStore(path: path, options: chosen) }
    let opened = store
    writer = try stored { () throws(StoreError) in
      try opened.makeWriter(WorkerIdentity(name: "bench", host: "bench", pid: getpid(), version: "bench"))
    }
    ids = .allocate(byteCount: StoreFiller.mostJobs * StoreFiller.idBytes, alignment: 8)
    // The journal of a batch is its jobs' bodies and some 48 bytes each.
    payload = .allocate(byteCount: StoreFiller.mostJobs * 112, alignment: 8)
    payload.initializeMemory(as: UInt8.self, repeating: 7)
  }

  deinit {
    ids.deallocate()
    payload.deallocate()
  }

  func record(jobs: Range<Int>, batch size: Int) throws(BenchError) {
    let body = StoreBytes.memory(UnsafeRawBufferPointer(rebasing: payload[0..<64]))
    guard let digest = ContentDigest(UnsafeRawBufferPointer(payload)) else { return }
    var batch = CommitBatch()
    var journal: JournalID?
    var next = jobs.lowerBound
    var lost = 0
    while next < jobs.upperBound {
      batch.removeAll()
      let end = min(next + min(size, StoreFiller.mostJobs), jobs.upperBound)
      for (index, job) in (next..<end).enumerated() {
        let id = UnsafeMutableRawBufferPointer(
          rebasing: ids[(index * StoreFiller.idBytes)..<((index + 1) * StoreFiller.idBytes)])
        write(job, into: id)
        let time = 1_700_000_000_000 + Int64(job / 100)
        batch.finished.append(
          FinishedJob(
            tenant: .default, jobID: .memory(UnsafeRawBufferPointer(id)),
            operand: .array(StoreFiller.echoOperand),
            digest: digest, status: 0, body: body, sandbox: 1, queuedMicroseconds: 120, runMicroseconds: 3,
            acceptedMilliseconds: time, finishedMilliseconds: time))
      }
      let added = writer.makeJournalID()
      let count = end - next
      batch.journalAdditions.append(
        JournalAddition(
          id: added, count: UInt32(count),
          jobs: .memory(UnsafeRawBufferPointer(rebasing: payload[0..<(count * 112)]))))
      if let journal { batch.journalDeletions.append(journal) }
      journal = added
      let writer = writer
      try stored { () throws(StoreError) in
        try writer.commit(batch) { _, _ in lost += 1 }
        try writer.settle()
      }
      next = end
    }
    guard lost == 0 else { throw BenchError(.wrongResult, "\(lost) results were there before") }
  }

  func close() throws(BenchError) {
    let writer = writer
    try stored { () throws(StoreError) in
      while try writer.maintain(RetentionPolicy(), now: 1_700_000_000_000) {}
      try writer.close()
    }
  }

  /// Function 1, as a call's operand.
  private static let echoOperand: [UInt8] = [1, 0, 0, 0]
}

/// Looks results up as a front door does.
private final class StoreReading {
  private let store: SQLiteStore
  private let reader: any StoreReader

  init(_ path: String) throws(BenchError) {
    store = try stored { () throws(StoreError) in try SQLiteStore(path: path) }
    let opened = store
    reader = try stored { () throws(StoreError) in try opened.makeReader() }
  }

  func lookups(_ count: Int, among jobs: Int) throws(BenchError) -> [Double?] {
    let id = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 8)
    defer { id.deallocate() }
    var state: UInt64 = 88_172_645_463_325_252
    var found = 0
    let reader = reader
    let seconds = try timed { () throws(BenchError) in
      var done = 0
      while done < count {
        let end = min(done + 256, count)
        try stored { () throws(StoreError) in
          try reader.snapshot { () throws(StoreError) in
            for _ in done..<end {
              state ^= state << 13
              state ^= state >> 7
              state ^= state << 17
              write(Int(state % UInt64(jobs)), into: id)
              _ = try reader.recorded(UnsafeRawBufferPointer(id), tenant: .default) { job in
                if job.body.count == 64 { found += 1 }
              }
            }
          }
        }
        done = end
      }
    }
    guard found == count else { throw BenchError(.wrongResult, "\(found) of \(count) results were found") }
    return [seconds / Double(count) * 1e6]
  }
}
