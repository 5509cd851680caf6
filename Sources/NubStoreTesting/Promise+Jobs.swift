import NubCap
import NubStore
import NubStoreSamples
import Testing

extension Promise {
  static let jobs: [Promise] = [
    Promise("a recorded job is found with everything a reply needs") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter("alpha")
      let image = try writer.image(ImageRecord(digest: [1, 2], name: "guest", functions: [(1, "echo")]))
      try writer.commit { batch in
        var job = Sample.job("a", status: 3)
        job.guestStatus = 42
        job.image = image
        batch.finished = [Sample.job("b"), job]
      }
      let reader = try test.store.makeReader()
      let ok = try #require(try reader.find("b"))
      #expect(
        ok
          == Recorded(
            status: 0, guestStatus: nil, body: Sample.bytes("b", count: 100), digest: Sample.digest("b"),
            worker: writer.worker))
      let failed = try #require(try reader.find("a"))
      #expect(failed.status == 3 && failed.guestStatus == 42 && failed.body == Array("failed: a".utf8))
      #expect(try reader.workerName(writer.worker) == "alpha")
      #expect(try reader.workerName(WorkerID(rawValue: 999)) == "")
    },
    Promise("the first recorded result wins, and the loser gets it") { provider in
      let test = try provider.makeStore(StoreOptions())
      let first = try test.makeWriter()
      let second = try test.reopen().makeWriter(WorkerIdentity(name: "x", host: "h", pid: 2, version: "1"))
      try first.commit { $0.finished = [Sample.job("same", status: 3)] }
      let lost = try second.commit { $0.finished = [Sample.job("new"), Sample.job("same")] }
      #expect(lost == [1: 3])
      #expect(try test.store.makeReader().find("same")?.worker == first.worker)
    },
    Promise("of two results for one id in one batch the first wins") { provider in
      let writer = try provider.makeStore(StoreOptions()).makeWriter()
      #expect(try writer.commit { $0.finished = [Sample.job("x", status: 3), Sample.job("x")] } == [1: 3])
    },
    Promise("committing a batch again changes nothing and tells the recorded results") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let id = writer.makeJournalID()
      for round in 0..<2 {
        let lost = try writer.commit {
          $0.finished = [Sample.job("x")]
          $0.journalAdditions = [JournalAddition(id: id, count: 1, jobs: .array([1]))]
          $0.caps = [Sample.cap("c")]
        }
        #expect(lost == (round == 0 ? [:] : [0: 0]))
      }
      let statistics = try test.queries().statistics()
      #expect(statistics.jobs == 1 && statistics.caps == 1 && statistics.pendingBatches == 1)
    },
    Promise("job ids are scoped by tenant") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let red = try writer.tenant("red")
      try writer.commit { $0.finished = [Sample.job("id", tenant: red)] }
      let reader = try test.store.makeReader()
      #expect(try reader.tenant("red") == red)
      #expect(try reader.tenant("blue") == nil)
      #expect(try reader.tenant("") == .default)
      #expect(try reader.find("id", tenant: red) != nil)
      #expect(try reader.find("id") == nil)
      #expect(try writer.tenant("red") == red)
    },
    Promise("ids, results and messages are kept byte by byte, empty ones too") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let id: [UInt8] = [0, 0xFF, 0, 0x27, 0x0A]
      try writer.commit { batch in
        var empty = Sample.job("empty")
        empty.body = .empty
        var binary = Sample.job("")
        binary.jobID = .array(id)
        binary.body = .array([0, 1, 2])
        var silent = Sample.job("silent", status: 3)
        silent.message = .empty
        var garbage = Sample.job("garbage", status: 3)
        garbage.message = .array([0xFF, 0xFE, 0x41])
        batch.finished = [empty, binary, silent, garbage]
      }
      let reader = try test.store.makeReader()
      #expect(try reader.find("empty")?.body == [])
      #expect(try reader.find("silent")?.body == [])
      #expect(try reader.find("garbage")?.body == [0xFF, 0xFE, 0x41])
      var body: [UInt8] = []
      let isThere = try id.withUnsafeBytes { (id) throws -> Bool in
        try reader.recorded(id, tenant: .default) { body = Array($0.body) }
      }
      #expect(isThere && body == [0, 1, 2])
    },
    Promise("an id of no or of more than 64 bytes is refused and the batch with it") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      for id in [[], [UInt8](repeating: 1, count: 65)] {
        let error = storeError {
          try writer.commit { batch in
            var job = Sample.job("x")
            job.jobID = .array(id)
            batch.finished = [Sample.job("before"), job]
          }
        }
        #expect(error?.code == .misuse)
      }
      #expect(try test.store.makeReader().find("before") == nil)
      try writer.commit { $0.finished = [Sample.job("before")] }
    },
    Promise("a batch that failed leaves no trace in what questions find later") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let red = try writer.tenant("red")
      _ = storeError {
        try writer.commit { batch in
          var bad = Sample.job("x", tenant: red)
          bad.jobID = .empty
          batch.finished = [Sample.job("a", tenant: red), bad]
        }
      }
      try writer.commit { $0.finished = [Sample.job("a", tenant: red)] }
      var filter = ResultFilter()
      filter.tenant = "red"
      let page = try test.queries().results(
        filter, order: .newest, limit: 10, after: nil, budget: .seconds(60))
      #expect(page.rows.map(\.jobID) == [Array("a".utf8)])
    },
    Promise("a snapshot shows one state, and the next one what came since") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let reader = try test.store.makeReader()
      var during: [Bool] = []
      try reader.snapshot { () throws(StoreError) in
        let id: [UInt8] = Array("late".utf8)
        for _ in 0..<2 {
          let isThere = try StoreBytes.array(id).withUnsafeBytes { (id) throws(StoreError) in
            try reader.recorded(id, tenant: .default) { _ in }
          }
          during.append(isThere)
          var batch = CommitBatch()
          batch.finished = [Sample.job("late")]
          try writer.commit(batch) { _, _ in }
        }
      }
      #expect(during == [false, false])
      #expect(try reader.find("late") != nil)
    },
    Promise("a result of megabytes comes back whole") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let large = Sample.bytes("large", count: 5_000_000)
      try writer.commit { batch in
        var job = Sample.job("large")
        job.body = .array(large)
        batch.finished = [job]
      }
      #expect(try test.store.makeReader().find("large")?.body == large)
    },
    Promise("cancels reach every reader once, from any process") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let other = try test.reopen().makeWriter(WorkerIdentity(name: "x", host: "h", pid: 2, version: "1"))
      let reader = try test.store.makeReader()
      func cancel(_ id: String) -> CancelRequest {
        CancelRequest(tenant: .default, jobID: .array(Array(id.utf8)), requestedMilliseconds: Sample.now)
      }
      var seen: [String] = []
      func look(_ cursor: CancelCursor) throws -> CancelCursor {
        try reader.cancels(after: cursor) { _, id in seen.append(String(decoding: id, as: UTF8.self)) }
      }
      var cursor = try look(.start)
      try writer.commit { $0.cancels = [cancel("a")] }
      cursor = try look(cursor)
      try other.commit { $0.cancels = [cancel("b"), cancel("c")] }
      cursor = try look(cursor)
      cursor = try look(cursor)
      #expect(seen == ["a", "b", "c"])
    },
  ]
}
