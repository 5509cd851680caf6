import Foundation
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

/// The log's file, which is longer than what it holds (docs/decisions/0430).
@Suite struct LogTests {
  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path("store.db")
  }

  private func makeWriter(
    _ options: StoreOptions = StoreOptions(), at path: String? = nil
  ) throws -> any StoreWriter {
    try SQLiteStore(path: path ?? self.path, options: options)
      .makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
  }

  private func length() throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: path + "-wal")
    return try #require(attributes[.size] as? Int)
  }

  @Test func commitsDoNotMakeTheLogLonger() throws {
    let writer = try makeWriter()
    var lengths = Set([try length()])
    for number in 0..<600 {
      try writer.commit { $0.finished = [Sample.job("\(number)")] }
      lengths.insert(try length())
    }
    // 600 commits of three frames at least: some seven megabytes.
    let whole = lengths.sorted().map { Double($0) / Double(1 << 20) }
    #expect(whole == [1, 2, 4, 8] || whole == [1, 2, 4, 8, 16])
  }

  @Test func withoutFullDurabilityTheLogIsAsLongAsItMustBe() throws {
    var options = StoreOptions()
    options.durability = .normal
    let writer = try makeWriter(options)
    try writer.commit { $0.finished = [Sample.job("a")] }
    #expect(try length() < 1 << 20)
  }

  @Test func whatIsBehindTheLastCommitIsNoPartOfIt() throws {
    let writer = try makeWriter()
    for number in 0..<100 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    // As a machine that lost its power would find it: the file and its log, and no index to the log.
    let copy = folder.path("copy.db")
    for suffix in ["", "-wal"] {
      try FileManager.default.copyItem(atPath: path + suffix, toPath: copy + suffix)
    }
    let other = try makeWriter(at: copy)
    try other.commit { $0.finished = [Sample.job("100")] }
    try expectSound(copy, jobs: 101)
  }

  @Test func aLogThatSomebodyCutsShortIsWrittenOn() throws {
    let writer = try makeWriter()
    try writer.commit { $0.finished = [Sample.job("a")] }
    try checkpoint("TRUNCATE")
    #expect(try length() == 0)
    for number in 0..<300 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    try expectSound(path, jobs: 301)
  }

  @Test func roomThatTheDiskDoesNotHaveIsGivenBack() throws {
    // Room for one MiB, not for the two that are tried next.
    let child = try ChildProcess(["fill", path, "1500000"])
    let lines = child.readAll()
    #expect(child.wait() == 0)
    let failure = try #require(lines.firstIndex { $0.hasPrefix("error diskFull") })
    let lengths = lines[..<failure].filter { $0.hasPrefix("log ") }.compactMap { Int($0.dropFirst(4)) }
    #expect(lengths.first == 1 << 20)
    let longer = lengths.filter { $0 > 1 << 20 }
    #expect(longer.count > 3 && longer == longer.sorted(), "\(lengths)")
    // Behind the first MiB the file is as long as its frames, and was never filled to the limit.
    for length in longer { #expect((length - 32) % (4_096 + 24) == 0 && length < 1_500_000, "\(length)") }
    #expect(lines.suffix(2) == ["refusing nothing", "done"])
    try expectSound(path, jobs: lines.count { $0.hasPrefix("R ") })
  }

  @Test func anotherWorkersRoomIsUsed() throws {
    let store = try SQLiteStore(path: path)
    let writers = try (0..<4).map {
      try store.makeWriter(WorkerIdentity(name: "\($0)", host: "h", pid: 1, version: "1"))
    }
    for writer in writers { try writer.commit { $0.heartbeat = Sample.now } }
    #expect(try length() == 1 << 20)
  }

  @Test func aLogThatWasCutShortGetsRoomAgainWhenItStartsOver() throws {
    let writer = try makeWriter()
    for number in 0..<100 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    try checkpoint("TRUNCATE")
    #expect(try length() == 0)
    for number in 100..<103 { try writer.commit { $0.finished = [Sample.job("\(number)")] } }
    #expect(try length() == 1 << 20)
  }

  @Test func aWorkerThatStopsLeavesTheWholeStoreInTheFile() throws {
    let writer = try makeWriter()
    try writer.commit { $0.finished = [Sample.job("a")] }
    try writer.close()
    #expect(try length() == 0)
    try FileManager.default.copyItem(atPath: path, toPath: folder.path("copy.db"))
    #expect(try SQLiteStore(path: folder.path("copy.db")).makeReader().find("a") != nil)
  }

  @Test func otherProgramsMoveAndCutTheLogMeanwhile() throws {
    var options = StoreOptions()
    options.checkpointBytes = 256 << 10
    let writer = try makeWriter(options)
    let modes = ["TRUNCATE", "RESTART", "PASSIVE", "FULL"]
    for number in 0..<400 {
      try writer.commit { $0.finished = [Sample.job("\(number)")] }
      if number % 25 == 24 { try checkpoint(modes[number / 25 % 4]) }
      if number % 100 == 50 {
        // As after a crash of the machine: the index is made anew from the log, zeros and all.
        let copy = folder.path("copy-\(number).db")
        // By another process: closing the file in this one would drop the writer's locks on it.
        for suffix in ["", "-wal"] { try run("/bin/cp", path + suffix, copy + suffix) }
        try expectSound(copy, jobs: number + 1)
      }
    }
    try expectSound(path, jobs: 400)
  }

  private func expectSound(
    _ path: String, jobs: Int, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let queries = try SQLiteQueries(path: path)
    #expect(Int(try queries.statistics().jobs) == jobs, sourceLocation: sourceLocation)
    #expect(try queries.integrityProblems() == [], sourceLocation: sourceLocation)
  }

  private func checkpoint(_ mode: String) throws {
    try run("/usr/bin/sqlite3", path, "PRAGMA journal_size_limit=70000; PRAGMA wal_checkpoint(\(mode))")
  }

  private func run(_ program: String, _ arguments: String...) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }
}
