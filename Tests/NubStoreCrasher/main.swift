import Foundation
import NubCap
import NubStore
import NubStoreSamples

// A worker's committer without the worker: it commits until it is killed, and says on standard output what it was promised. The tests
// hold the store to that. `NUB_STORE_FAILPOINT` chooses where it kills itself.

func say(_ line: String) {
  let bytes = Array((line + "\n").utf8)
  // One write per line: a killed process leaves whole lines.
  _ = bytes.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
}

func describe(_ error: StoreError) -> String { "error \(error.code) \(error)" }

func identity() -> WorkerIdentity {
  WorkerIdentity(name: "crasher", host: "test", pid: getpid(), version: "1")
}

/// Commits results, caps and journal rows for as long as it may.
func load(_ path: String, commits: Int) throws(StoreError) {
  var options = StoreOptions()
  // Small, so that checkpoints fall between many commits.
  options.checkpointBytes = 256 << 10
  let store = try SQLiteStore(path: path, options: options)
  let writer = try store.makeWriter(identity())
  for row in try writer.takeOver() {
    say("T \(row.id.rawValue) t\(row.id.rawValue)")
    var batch = CommitBatch()
    batch.journalUpdates = [JournalUpdate(id: row.id, attempts: row.attempts + 1)]
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    batch.removeAll()
    batch.journalDeletions = [row.id]
    // With a result, so that the deletion is acknowledged as durable.
    batch.finished = [Sample.job("t\(row.id.rawValue)")]
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    say("D \(row.id.rawValue)")
  }
  var policy = RetentionPolicy()
  policy.sliceRows = 8
  for number in 0..<commits {
    let name = "\(writer.worker.rawValue)-\(number)"
    let journal = writer.makeJournalID()
    var batch = CommitBatch()
    batch.journalAdditions = [
      JournalAddition(id: journal, count: 8, jobs: .array(Sample.bytes(name, count: 3_000)))
    ]
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    say("J \(journal.rawValue) \(name)-0")

    batch.removeAll()
    batch.finished = (0..<8).map { Sample.job("\(name)-\($0)") }
    // Long expired: retention may take it at once.
    var old = Sample.job("old-\(name)", status: 3)
    old.finishedMilliseconds = 1
    batch.finished.append(old)
    let cap = Sample.cap(name)
    batch.caps = [cap]
    batch.journalUpdates = [JournalUpdate(id: journal, attempts: 1)]
    batch.journalDeletions = [journal]
    batch.capUses = [CapUse(hash: cap.hash, skips: 2, lastUsedMilliseconds: Sample.now)]
    batch.cancels = [
      CancelRequest(tenant: .default, jobID: .array(Array(name.utf8)), requestedMilliseconds: Sample.now)
    ]
    batch.heartbeat = Sample.now
    try writer.commit(batch) { _, _ in }
    try writer.settle()
    for index in 0..<8 { say("R \(name)-\(index)") }
    say("C \(name)")
    say("D \(journal.rawValue)")
    _ = try writer.maintain(policy, now: Sample.now + Int64(number) * 20_000)
  }
  try writer.close()
}

/// Registers, journals one row and stays until standard input ends.
func hold(_ path: String) throws(StoreError) {
  let store = try SQLiteStore(path: path)
  let writer = try store.makeWriter(identity())
  let journal = writer.makeJournalID()
  var batch = CommitBatch()
  batch.journalAdditions = [JournalAddition(id: journal, count: 1, jobs: .array(Array("held".utf8)))]
  try writer.commit(batch) { _, _ in }
  say("J \(journal.rawValue)")
  while readLine() != nil {}
}

/// Records one job per line of standard input, and says whether it was the first.
func race(_ path: String, count: Int) throws(StoreError) {
  let store = try SQLiteStore(path: path)
  let writer = try store.makeWriter(identity())
  say("ready")
  _ = readLine()
  for number in 0..<count {
    var batch = CommitBatch()
    var job = Sample.job("race-\(number)")
    job.body = .array(Array("\(writer.worker.rawValue)".utf8))
    batch.finished = [job]
    var winner = "\(writer.worker.rawValue)"
    try writer.commit(batch) { _, recorded in winner = String(decoding: recorded.body, as: UTF8.self) }
    say("W \(number) \(winner)")
  }
  try writer.close()
}

/// Commits under a limit on the size of files (nil: that of the file system) until that fails, then without.
func fill(_ path: String, limit: UInt?, checkpointBytes: Int64?) throws(StoreError) {
  signal(SIGXFSZ, SIG_IGN)
  var options = StoreOptions()
  if let checkpointBytes { options.checkpointBytes = checkpointBytes }
  let store = try SQLiteStore(path: path, options: options)
  let writer = try store.makeWriter(identity())
  if let limit {
    setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), [rlimit(rlim_cur: limit, rlim_max: .max)])
  }
  var number = 0
  func commit() throws(StoreError) {
    var batch = CommitBatch()
    var job = Sample.job("fill-\(number)")
    job.body = .array(Sample.bytes("fill-\(number)", count: 40_000))
    batch.finished = [job]
    try writer.commit(batch) { _, _ in }
    say("R fill-\(number)")
    do throws(StoreError) { try writer.settle() } catch { say("unsettled \(error.code)") }
    var status = stat()
    if stat(path + "-wal", &status) == 0 { say("log \(status.st_size)") }
    number += 1
  }
  do throws(StoreError) {
    while number < 10_000 { try commit() }
  } catch {
    say(describe(error))
    say("refusing \(store.refusal.map { "\($0.code)" } ?? "nothing")")
  }
  setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), [rlimit(rlim_cur: .max, rlim_max: .max)])
  if limit == nil {
    // Somebody makes room.
    say("full")
    _ = readLine()
  }
  try commit()
  say("refusing \(store.refusal.map { "\($0.code)" } ?? "nothing")")
  try writer.close()
}

/// Becomes somebody without rights.
func dropPrivileges() {
  if geteuid() == 0 {
    setgid(65_534)
    setuid(65_534)
  }
}

/// Asks as somebody without rights.
func queryUnprivileged(_ path: String) throws(StoreError) {
  dropPrivileges()
  let queries = try SQLiteQueries(path: path)
  say("jobs \(try queries.statistics().jobs)")
  let page = try queries.results(ResultFilter(), limit: 1)
  say("newest \(page.rows.map { String(decoding: $0.jobID, as: UTF8.self) })")
}

/// Opens as somebody without rights.
func openUnprivileged(_ path: String) throws(StoreError) {
  dropPrivileges()
  let store = try SQLiteStore(path: path)
  _ = try store.makeWriter(identity())
}

let arguments = CommandLine.arguments
do throws(StoreError) {
  switch arguments.dropFirst().first {
  case "load": try load(arguments[2], commits: Int(arguments[3]) ?? 0)
  case "hold": try hold(arguments[2])
  case "race": try race(arguments[2], count: Int(arguments[3]) ?? 0)
  case "fill":
    try fill(
      arguments[2], limit: UInt(arguments[3]),
      checkpointBytes: arguments.dropFirst(4).first.flatMap { Int64($0) })
  case "query": try queryUnprivileged(arguments[2])
  case "open": try openUnprivileged(arguments[2])
  default: exit(2)
  }
  say("done")
} catch {
  say(describe(error))
  exit(1)
}
