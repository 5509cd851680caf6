import Foundation
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

@Suite struct SharingTests {
  @Test func ofTwoProcessesThatRecordTheSameJobsBothNameTheSameWinners() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let children = try (0..<2).map { _ in try ChildProcess(["race", path, "300"]) }
    for child in children { #expect(child.nextLine() == "ready") }
    for child in children { try child.say("go") }
    let verdicts = children.map { child in child.readAll().filter { $0.hasPrefix("W ") } }
    for child in children { #expect(child.wait() == 0) }
    #expect(verdicts[0].count == 300)
    #expect(verdicts[0] == verdicts[1])
    let queries = try SQLiteQueries(path: path)
    #expect(try queries.statistics().jobs == 300)
    #expect(try queries.integrityProblems() == [])
  }

  @Test func aPausedWorkerIsNotMistakenForADeadOneAndADeadOneIs() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let child = try ChildProcess(["hold", path])
    let row = try #require(child.nextLine()?.dropFirst(2))
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    #expect(try writer.takeOver().isEmpty)
    child.signal(SIGSTOP)
    #expect(try writer.takeOver().isEmpty)
    #expect(try SQLiteQueries(path: path).statistics().liveWorkers == ["crasher", "w"])
    child.signal(SIGKILL)
    child.wait()
    let inherited = try writer.takeOver()
    #expect(inherited.map { "\($0.id.rawValue)" } == [String(row)])
    #expect(inherited.first?.jobs == Array("held".utf8))
    #expect(try SQLiteQueries(path: path).statistics().liveWorkers == ["w"])
  }

  @Test func onlyOneOfManyInheritsARow() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let child = try ChildProcess(["hold", path])
    #expect(child.nextLine() != nil)
    child.signal(SIGKILL)
    child.wait()
    let writers = try (0..<4).map {
      try SQLiteStore(path: path).makeWriter(WorkerIdentity(name: "w\($0)", host: "h", pid: 1, version: "1"))
    }
    #expect(try writers.map { try $0.takeOver().count }.reduce(0, +) == 1)
  }

  @Test func everyFileOfTheStoreIsTheOwnersAlone() throws {
    let folder = try TemporaryFolder()
    let store = try SQLiteStore(path: folder.path("store.db"))
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    try writer.commit { $0.finished = [Sample.job("x")] }
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(Set(files) == ["store.db", "store.db-wal", "store.db-shm", "store.db-lock", "store.db-worker-1"])
    for file in files {
      let attributes = try FileManager.default.attributesOfItem(atPath: folder.path(file))
      #expect(attributes[.posixPermissions] as? Int == 0o600, "\(file)")
    }
    try writer.close()
    #expect(!FileManager.default.fileExists(atPath: folder.path("store.db-worker-1")))
  }

  @Test func theLogStaysBoundedUnderLoad() throws {
    let folder = try TemporaryFolder()
    var options = StoreOptions()
    options.checkpointBytes = 1 << 20
    let store = try SQLiteStore(path: folder.path("store.db"), options: options)
    let writer = try store.makeWriter(WorkerIdentity(name: "w", host: "h", pid: 1, version: "1"))
    var largest: Int64 = 0
    for round in 0..<200 {
      try writer.commit { batch in
        batch.finished = (0..<200).map { Sample.job("\(round)-\($0)") }
      }
      largest = max(largest, try SQLiteQueries(path: folder.path("store.db")).statistics().logBytes)
    }
    #expect(largest < 2 << 20)
  }
}
