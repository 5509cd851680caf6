import Foundation
import GRDBSQLite
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

@Suite struct DamageTests {
  private let folder: TemporaryFolder
  private var path: String { folder.path("store.db") }

  init() throws {
    folder = try TemporaryFolder()
  }

  /// A store with a few hundred jobs, all of it in the database file.
  private func fill() throws {
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    try writer.commit { $0.finished = (0..<500).map { Sample.job("\($0)") } }
    try writer.commit { $0.caps = [Sample.cap("a"), Sample.cap("b")] }
    try writer.close()
  }

  private func sql(_ text: String) throws {
    var db: OpaquePointer?
    defer { sqlite3_close_v2(db) }
    #expect(sqlite3_open(path, &db) == SQLITE_OK)
    #expect(sqlite3_exec(db, text, nil, nil, nil) == SQLITE_OK)
  }

  @Test func aNewerFileIsRefusedAndLeftAsItIs() throws {
    try fill()
    try sql("PRAGMA user_version=2; PRAGMA wal_checkpoint(TRUNCATE)")
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let error = storeError { _ = try SQLiteStore(path: path) }
    #expect(error?.code == .newerVersion)
    #expect(error?.message.contains("upgrade nub") == true)
    #expect(storeError { _ = try SQLiteQueries(path: path) }?.code == .newerVersion)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
  }

  @Test func aDatabaseOfAnotherProgramIsRefused() throws {
    try sql("CREATE TABLE theirs(x)")
    #expect(storeError { _ = try SQLiteStore(path: path) }?.code == .corrupt)
  }

  @Test func aFileThatIsNoDatabaseIsRefused() throws {
    try Data(repeating: 0x41, count: 10_000).write(to: URL(fileURLWithPath: path))
    #expect(storeError { _ = try SQLiteStore(path: path) }?.code == .corrupt)
    #expect(storeError { _ = try SQLiteQueries(path: path) }?.code == .corrupt)
    try Data(repeating: 0x41, count: 10).write(to: URL(fileURLWithPath: path))
    #expect(storeError { _ = try SQLiteStore(path: path) }?.code == .corrupt)
  }

  @Test(arguments: [50, 100, 4_000, 4_096, 20_000, 60_000]) func aTruncatedFileIsRefused(bytes: Int) throws {
    try fill()
    try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: UInt64(bytes))
    let error = storeError { _ = try SQLiteStore(path: path) }
    #expect(error?.code == .corrupt)
    #expect(error?.message.contains(path) == true)
  }

  @Test func damageInsideTheFileIsAnErrorWhenItIsMetAndNoCrash() throws {
    try fill()
    let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    let size = try file.seekToEnd()
    var offset: UInt64 = 4_096
    while offset < size {
      try file.seek(toOffset: offset)
      try file.write(contentsOf: Sample.bytes("\(offset)", count: 4_096))
      offset += 4_096
    }
    try file.close()
    let error = storeError {
      let store = try SQLiteStore(path: path)
      let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
      try writer.commit { $0.finished = [Sample.job("x")] }
    }
    #expect(error?.code == .corrupt)
  }

  /// The extremes of what a column holds, as damage or another program may leave them: reckoning with them must not end the process.
  @Test(arguments: [
    "UPDATE jobs SET seq = 9223372036854775807 WHERE seq = 500",
    "UPDATE jobs SET seq = -9223372036854775808 WHERE seq = 1",
    "UPDATE jobs SET seq = 4611686018427387904 WHERE seq = 500; UPDATE jobs SET seq = -5 WHERE seq = 1",
    "UPDATE jobs SET finished_ms = 9223372036854775807, queued_us = -9223372036854775808, run_us = 9223372036854775807",
    "UPDATE jobs SET finished_ms = -9223372036854775808 WHERE seq > 400",
    "UPDATE job_spans SET span = 9223372036854775807", "UPDATE job_spans SET tenant = 9223372036854775807",
    "UPDATE caps SET cap = 9223372036854775807 WHERE cap = 2",
    "UPDATE caps SET size = 9223372036854775807, puts = 9223372036854775807, last_used_ms = 9223372036854775807",
  ]) func numbersThatNubDoesNotWriteAreDamageAndNoTrap(change: String) throws {
    try fill()
    try sql(change)
    let queries = try SQLiteQueries(path: path)
    var said: [StoreError] = []
    func ask(_ question: () throws(StoreError) -> Void) {
      do { try question() } catch { said.append(error) }
    }
    var recent = ResultFilter()
    recent.since = .min
    recent.until = .max
    var tenant = ResultFilter()
    tenant.tenant = ""
    for filter in [ResultFilter(), recent, tenant] {
      for order in ResultOrder.allCases {
        ask { () throws(StoreError) in
          var page = try queries.results(filter, order: order, limit: 100)
          for _ in 0..<10 {
            guard let next = page.next else { break }
            page = try queries.results(filter, order: order, limit: 100, after: next)
          }
        }
      }
    }
    ask { () throws(StoreError) in _ = try queries.throughput(minutes: .max) }
    ask { () throws(StoreError) in _ = try queries.throughput(minutes: 5) }
    ask { () throws(StoreError) in _ = try queries.caps(CapFilter(), limit: 10) }
    ask { () throws(StoreError) in _ = try queries.statistics() }
    ask { () throws(StoreError) in _ = try queries.verifyCaps(after: nil, bytes: 1 << 20) }
    for error in said { #expect(error.code == .corrupt && error.message.contains("damaged"), "\(error)") }
    if change.contains("SET seq =") || change.contains("SET cap =") { #expect(!said.isEmpty) }
    // Nor does a worker's house-keeping stumble, or never come to its end.
    let writer = try SQLiteStore(path: path).makeWriter(
      WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    var policy = RetentionPolicy()
    (policy.results, policy.failures, policy.caps) = (1_000, 1_000, 1_000)
    var slices = 0
    while try writer.maintain(policy, now: Sample.now + 10_000_000), slices < 1_000 { slices += 1 }
    #expect(slices < 1_000)
  }

  @Test func aCursorThatNoListHasHandedOutIsNone() {
    #expect(PageCursor("9223372036854775807") == nil && PageCursor("-1") == nil && PageCursor("1 ") == nil)
    #expect(PageCursor("4611686018427387903") != nil)
  }

  @Test func aMissingFolderAndAFolderInPlaceOfTheFileAreSaidClearly() throws {
    #expect(storeError { _ = try SQLiteStore(path: folder.path("no/store.db")) }?.code == .cannotOpen)
    try FileManager.default.createDirectory(atPath: folder.path("dir"), withIntermediateDirectories: false)
    #expect(storeError { _ = try SQLiteStore(path: folder.path("dir")) }?.code == .cannotOpen)
    #expect(storeError { _ = try SQLiteQueries(path: folder.path("none.db")) }?.code == .cannotOpen)
    #expect(!FileManager.default.fileExists(atPath: folder.path("none.db")))
  }

  @Test func aStoreThatCannotBeWrittenIsReadOnly() throws {
    try fill()
    let child = try ChildProcess(["open", path])
    let line = try #require(child.readAll().first)
    #expect(line.hasPrefix("error readOnly"), "\(line)")
    #expect(child.wait() == 1)
  }

  /// What a refusal must not leave behind: a lock or a log beside a file that is none of nub's business.
  @Test(arguments: ["newer", "garbage", "short", "truncated", "theirs", "read-only"])
  func aRefusedFileGetsNoCompany(kind: String) throws {
    let file = folder.path("alone.db")
    switch kind {
    case "garbage": try Data(repeating: 0x41, count: 10_000).write(to: URL(fileURLWithPath: file))
    case "short": try Data(repeating: 0x41, count: 10).write(to: URL(fileURLWithPath: file))
    case "theirs": try sql("CREATE TABLE theirs(x); PRAGMA journal_mode=WAL")
    default:
      try fill()
      if kind == "newer" { try sql("PRAGMA user_version=2") }
    }
    if FileManager.default.fileExists(atPath: path) { try copyAlone(to: file) }
    if kind == "truncated" {
      try FileHandle(forWritingTo: URL(fileURLWithPath: file)).truncate(atOffset: 20_000)
    }
    if kind == "read-only" {
      // Writable is the folder, not the file.
      try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder.path)
      try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: file)
      let child = try ChildProcess(["open", file])
      #expect(child.readAll().first?.hasPrefix("error readOnly") == true)
    } else {
      #expect(storeError { _ = try SQLiteStore(path: file) } != nil)
      #expect(storeError { _ = try SQLiteQueries(path: file) } != nil)
    }
    let company = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasPrefix("alone.db-")
    }
    #expect(company == [])
  }

  /// Copies the database file, everything in it, without its log.
  private func copyAlone(to file: String) throws {
    try sql("PRAGMA wal_checkpoint(TRUNCATE)")
    try FileManager.default.copyItem(atPath: path, toPath: file)
  }

  @Test func aCopyWhereNothingCanBeWrittenAnswersQuestions() throws {
    try fill()
    let place = folder.path("a copy?#%")
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
    let file = place + "/store 1.db"
    try copyAlone(to: file)
    try FileManager.default.setAttributes([.posixPermissions: 0o444], ofItemAtPath: file)
    try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: place)
    defer { try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: place) }
    let child = try ChildProcess(["query", file])
    #expect(child.readAll() == ["jobs 500", "newest [\"499\"]", "done"])
    #expect(child.wait() == 0)
    // With a log that cannot be read there, it is not the whole store.
    try Data(repeating: 1, count: 4_152).write(to: URL(fileURLWithPath: file + "-wal"))
    let other = try ChildProcess(["query", file])
    let line = try #require(other.readAll().first)
    #expect(line.hasPrefix("error readOnly") && line.contains("copy both"), "\(line)")
  }

  @Test func aFileThatMayNotBeReadIsSaidToBeSo() throws {
    try fill()
    let child = try ChildProcess(["query", path])
    let line = try #require(child.readAll().first)
    #expect(line.hasPrefix("error cannotOpen") && line.contains("may not be read"), "\(line)")
  }

  @Test func aFileLockedByAnotherProgramIsWaitedForAndThenSaidToBe() throws {
    var options = StoreOptions()
    options.busyTimeoutMilliseconds = 30
    let store = try SQLiteStore(path: path, options: options)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    var other: OpaquePointer?
    defer { sqlite3_close_v2(other) }
    #expect(sqlite3_open(path, &other) == SQLITE_OK)
    #expect(sqlite3_exec(other, "BEGIN IMMEDIATE", nil, nil, nil) == SQLITE_OK)
    let error = storeError { try writer.commit { $0.finished = [Sample.job("x")] } }
    #expect(error?.code == .locked)
    #expect(error?.isTransient == true)
    #expect(store.refusal?.code == .locked)
    #expect(try store.makeReader().find("x") == nil)
    #expect(sqlite3_exec(other, "ROLLBACK", nil, nil, nil) == SQLITE_OK)
    // A heartbeat is enough to find out that all is well again.
    try writer.commit { $0.heartbeat = Sample.now }
    #expect(store.refusal == nil)
    try writer.commit { $0.finished = [Sample.job("x")] }
  }

  @Test func aFullDiskIsSaidLosesNothingAndIsLeftBehindOnceThereIsRoom() throws {
    let child = try ChildProcess(["fill", path, "2000000"])
    let lines = child.readAll()
    #expect(child.wait() == 0)
    let failure = try #require(lines.firstIndex { $0.hasPrefix("error") })
    #expect(lines[failure].hasPrefix("error diskFull"), "\(lines[failure])")
    #expect(lines[failure + 1] == "refusing diskFull")
    #expect(lines.suffix(2) == ["refusing nothing", "done"])
    let reader = try SQLiteStore(path: path).makeReader()
    let names = lines.filter { $0.hasPrefix("R ") }.map { String($0.dropFirst(2)) }
    #expect(names.count > 10)
    for name in names { #expect(try reader.find(name)?.body == Sample.bytes(name, count: 40_000), "\(name)") }
    #expect(try SQLiteQueries(path: path).integrityProblems() == [])
  }
}
