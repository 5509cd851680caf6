import Foundation
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

/// The log's file, which is longer than what it holds (docs/decisions/0430).
@Suite struct LogTests {
  private func length(_ path: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path + "-wal")
    return try #require(attributes[.size] as? Int)
  }

  @Test func commitsDoNotMakeTheLogLonger() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    var lengths = Set([try length(path)])
    for number in 0..<600 {
      try writer.commit { $0.finished = [Sample.job("\(number)")] }
      lengths.insert(try length(path))
    }
    // 600 commits of three frames at least: some seven megabytes.
    let whole = lengths.sorted().map { Double($0) / Double(1 << 20) }
    #expect(whole == [1, 2, 4, 8] || whole == [1, 2, 4, 8, 16])
  }

  @Test func withoutFullDurabilityTheLogIsAsLongAsItMustBe() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    var options = StoreOptions()
    options.durability = .normal
    let store = try SQLiteStore(path: path, options: options)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    try writer.commit { $0.finished = [Sample.job("a")] }
    #expect(try length(path) < 1 << 20)
  }

  @Test func whatIsBehindTheLastCommitIsNoPartOfIt() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    for number in 0..<100 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    // As a machine that lost its power would find it: the file and its log, and no index to the log.
    let copy = folder.path("copy.db")
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: path + suffix, toPath: copy + suffix)
    }
    let reopened = try SQLiteStore(path: copy)
    let other = try reopened.makeWriter(WorkerIdentity(name: "v", host: "h", pid: 2, version: "1"))
    try other.commit { $0.finished = [Sample.job("100")] }
    let queries = try SQLiteQueries(path: copy)
    #expect(try queries.statistics().jobs == 101)
    #expect(try queries.integrityProblems() == [])
  }

  @Test func aLogThatSomebodyCutsShortIsWrittenOn() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    try writer.commit { $0.finished = [Sample.job("a")] }
    let sqlite = Process()
    sqlite.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    sqlite.arguments = [path, "PRAGMA wal_checkpoint(TRUNCATE)"]
    try sqlite.run()
    sqlite.waitUntilExit()
    #expect(sqlite.terminationStatus == 0)
    #expect(try length(path) == 0)
    for number in 0..<300 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    let queries = try SQLiteQueries(path: path)
    #expect(try queries.statistics().jobs == 301)
    #expect(try queries.integrityProblems() == [])
  }
}
