import NubCap
import NubStore
import NubStoreSamples
import Testing

extension Promise {
  static let journal: [Promise] = [
    Promise("what a stopped worker leaves in the journal is inherited without suspicion") { provider in
      let test = try provider.makeStore(StoreOptions())
      let first = try test.makeWriter()
      let ids = (0..<3).map { _ in first.makeJournalID() }
      try first.commit { batch in
        batch.journalAdditions = ids.map {
          JournalAddition(id: $0, count: 2, jobs: .array(Array("\($0.rawValue)".utf8)))
        }
      }
      try first.commit {
        $0.journalUpdates = [JournalUpdate(id: ids[1], attempts: 2)]
        $0.journalDeletions = [ids[0]]
      }
      let second = try test.makeWriter("second")
      #expect(try second.takeOver().isEmpty)
      try first.close()
      #expect(storeError { try first.commit { $0.heartbeat = 1 } }?.code == .misuse)
      let inherited = try second.takeOver()
      #expect(inherited.map(\.id) == [ids[1], ids[2]])
      #expect(inherited.map(\.attempts) == [2, 0])
      #expect(inherited.map(\.count) == [2, 2])
      #expect(
        inherited.allSatisfy {
          $0.origin == .stopped(first.worker) && $0.jobs == Array("\($0.id.rawValue)".utf8)
        })
      #expect(try second.takeOver().isEmpty)
    },
    Promise("what a vanished worker leaves in the journal is inherited with suspicion") { provider in
      let test = try provider.makeStore(StoreOptions())
      var first: (any StoreWriter)? = try test.makeWriter()
      let id = try #require(first).makeJournalID()
      let worker = try #require(first).worker
      try first?.commit { $0.journalAdditions = [JournalAddition(id: id, count: 1, jobs: .array([9]))] }
      // Gone without a word: its lock is free.
      first = nil
      let inherited = try test.makeWriter("second").takeOver()
      #expect(inherited.map(\.origin) == [.died(worker)])
    },
    Promise("names of journal rows never repeat, across workers too") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writers = try (0..<3).map { try test.makeWriter("\($0)") }
      let ids = writers.flatMap { writer in (0..<100).map { _ in writer.makeJournalID() } }
      #expect(Set(ids).count == 300)
    },
  ]
}
