import Foundation
import NubCap
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

/// What killed processes have acknowledged so far, and whether the file still has it.
private struct Acknowledged {
  var results: Set<String> = []
  var caps: Set<String> = []
  /// Rows that are not known to be finished, and a result that is recorded in the transaction that deletes the row.
  var journal: [Int64: String] = [:]

  mutating func note(_ lines: [String]) {
    for line in lines {
      let parts = line.split(separator: " ").map(String.init)
      switch parts.first {
      case "R": results.insert(parts[1])
      case "C": caps.insert(parts[1])
      case "J", "T": journal[Int64(parts[1]) ?? -1] = parts[2]
      case "D": journal[Int64(parts[1]) ?? -1] = nil
      default: #expect(parts.first == "done" || parts.isEmpty, "unexpected: \(line)")
      }
    }
  }

  /// Opens the file as the next start would, without anybody's help.
  func check(_ path: String, _ context: String) throws {
    let store = try SQLiteStore(path: path)
    let reader = try store.makeReader()
    for name in results {
      let found = try reader.find(name)
      #expect(found?.body == Sample.bytes(name, count: 100), "\(context): result \(name)")
    }
    for name in caps {
      #expect(try reader.wire(Sample.cap(name).hash) == Sample.wire(name), "\(context): cap \(name)")
    }
    #expect(try SQLiteQueries(path: path).integrityProblems() == [], "\(context)")
  }

  /// What was journaled and not finished is inherited; what was finished is not.
  mutating func checkJournal(_ path: String, deleted: Set<Int64>) throws {
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(
      WorkerIdentity(name: "checker", host: "test", pid: getpid(), version: "1"))
    let inherited = Set(try writer.takeOver().map(\.id.rawValue))
    let reader = try store.makeReader()
    for (row, result) in journal where !inherited.contains(row) {
      // Killed after the commit and before it could say so.
      #expect(try reader.find(result) != nil, "journal row \(row) is neither there nor finished")
    }
    #expect(inherited.isDisjoint(with: deleted))
    var batch = CommitBatch()
    batch.journalDeletions = inherited.map { JournalID(rawValue: $0) }
    try writer.commit(batch) { _, _ in }
    try writer.close()
    journal = [:]
  }
}

@Suite struct CrashTests {
  /// How often the random test kills; the long form sets it to 500.
  private static var kills: Int {
    ProcessInfo.processInfo.environment["NUB_STORE_KILLS"].flatMap { Int($0) } ?? 12
  }

  @Test func aKillBetweenAnyTwoStepsOfACommitLosesNothingAcknowledged() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    var acknowledged = Acknowledged()
    var deleted: Set<Int64> = []
    // One file lives through it all: each start finds what the kill before it left.
    func run(_ failpoint: String) throws -> [String] {
      let child = try ChildProcess(["load", path, "40"], failpoint: failpoint)
      let lines = child.readAll()
      child.wait()
      acknowledged.note(lines)
      deleted.formUnion(lines.filter { $0.hasPrefix("D ") }.compactMap { Int64($0.dropFirst(2)) })
      return lines
    }
    for point in Failpoint.allCases {
      for passage in [1, 2] {
        // Somebody has to have died for there to be something to take over.
        if point == .takingOver || point == .tookOver { _ = try run("\(Failpoint.afterCommit.rawValue):6") }
        let lines = try run("\(point.rawValue):\(passage)")
        let isPassedOnce = [.workerInserted, .workerLocked, .takingOver, .tookOver].contains(point)
        if passage == 1 || !isPassedOnce { #expect(lines.last != "done", "\(point) was not passed") }
        try acknowledged.check(path, "\(point) \(passage)")
      }
    }
    try acknowledged.checkJournal(path, deleted: deleted)
  }

  @Test func aKillAtAnyMomentLosesNothingAcknowledged() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    var acknowledged = Acknowledged()
    for round in 0..<Self.kills {
      let child = try ChildProcess(["load", path, "100000"])
      let enough = Int.random(in: 1...200)
      var seen = 0
      while seen < enough, child.nextLine() != nil { seen += 1 }
      child.signal(SIGKILL)
      // What is in the pipe was said before the end.
      acknowledged.note(child.readAll())
      child.wait()
      try acknowledged.check(path, "round \(round)")
    }
    #expect(!acknowledged.results.isEmpty)
  }
}
