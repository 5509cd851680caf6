import NubCap
import NubStore
import NubStoreSamples
import Testing

extension Promise {
  /// Runs house-keeping to its end.
  private static func maintain(_ writer: any StoreWriter, _ policy: RetentionPolicy, now: Int64) throws -> Int
  {
    var slices = 0
    while try writer.maintain(policy, now: now) { slices += 1 }
    return slices
  }

  static let administration: [Promise] = [
    Promise("retention removes what is older than its kind may be, a slice at a time") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      var policy = RetentionPolicy()
      policy.sliceRows = 16
      try writer.commit { batch in
        for index in 0..<100 {
          var job = Sample.job("old-\(index)", status: index % 10 == 0 ? 3 : 0)
          job.finishedMilliseconds = Sample.now - 8 * RetentionPolicy.day
          batch.finished.append(job)
        }
        var ancient = Sample.job("ancient", status: 3)
        ancient.finishedMilliseconds = Sample.now - 31 * RetentionPolicy.day
        batch.finished.insert(ancient, at: 0)
        batch.finished.append(Sample.job("new"))
      }
      #expect(try maintain(writer, policy, now: Sample.now) >= 100 / 16)
      #expect(try test.queries().statistics().jobs == 11)
      let reader = try test.store.makeReader()
      #expect(try reader.find("new") != nil && reader.find("old-0") != nil)
      #expect(try reader.find("old-1") == nil && reader.find("ancient") == nil)
      // An id whose result is gone is new again.
      #expect(try writer.commit { $0.finished = [Sample.job("old-1")] }.isEmpty)
      // The failures follow when their time has come.
      _ = try maintain(writer, policy, now: Sample.now + 23 * RetentionPolicy.day)
      #expect(try reader.find("old-0") == nil)
    },
    Promise("retention and questions go on after everything was pruned") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      let red = try writer.tenant("red")
      var filter = ResultFilter()
      filter.tenant = "red"
      for round in 0..<3 {
        let now = Sample.now + Int64(round) * 20 * RetentionPolicy.day
        try writer.commit { batch in
          for index in 0..<50 {
            var job = Sample.job("r\(round)-\(index)", tenant: red)
            job.finishedMilliseconds = now
            batch.finished.append(job)
          }
        }
        #expect(
          try test.queries().results(filter, order: .newest, limit: 100, after: nil, budget: .seconds(60))
            .rows.count
            == 50)
        if round == 0 {
          _ = try test.maintenance().prune(ResultFilter(), dryRun: false) { _ in true }
        } else {
          _ = try maintain(writer, RetentionPolicy(), now: now + 8 * RetentionPolicy.day)
        }
        #expect(try test.queries().statistics().jobs == 0)
      }
    },
    Promise("kept requests go before the failures that they belong to") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      var policy = RetentionPolicy()
      policy.sliceRows = 4
      try writer.commit { batch in
        for index in 0..<20 {
          var job = Sample.job("failed-\(index)", status: 3)
          job.request = .array(Array("the request".utf8))
          // Half of them are old enough.
          job.finishedMilliseconds = Sample.now - (index < 10 ? 8 : 6) * RetentionPolicy.day
          batch.finished.append(job)
        }
      }
      _ = try maintain(writer, policy, now: Sample.now)
      #expect(try test.queries().statistics().jobs == 20)
      let canRetry = try (0..<20).filter {
        try test.queries().result(jobID: Array("failed-\($0)".utf8), tenant: nil).first?.canRetry == true
      }
      #expect(canRetry == Array(10..<20))
    },
    Promise("a slice ends when its time is up, and the next goes on where it ended") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      var policy = RetentionPolicy()
      policy.sliceTime = .zero
      try writer.commit { batch in
        for index in 0..<40 {
          var job = Sample.job("old-\(index)", status: index % 2 == 0 ? 3 : 0)
          job.finishedMilliseconds = Sample.now - 31 * RetentionPolicy.day
          job.request = .array([1])
          batch.finished.append(job)
        }
        batch.caps = (0..<20).map { Sample.cap("cap-\($0)") }
      }
      // Each slice removes one: the least that it may.
      let later = Sample.now + 31 * RetentionPolicy.day
      #expect(try maintain(writer, policy, now: later) >= 60)
      let statistics = try test.queries().statistics()
      #expect(statistics.jobs == 0 && statistics.caps == 0)
    },
    Promise("what a policy keeps forever stays") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      var policy = RetentionPolicy()
      (policy.results, policy.failures, policy.caps, policy.cancels) = (nil, nil, nil, nil)
      policy.requests = nil
      try writer.commit {
        $0.finished = [Sample.job("a"), Sample.job("b", status: 3)]
        $0.caps = [Sample.cap("c")]
      }
      _ = try maintain(writer, policy, now: .max / 2)
      let statistics = try test.queries().statistics()
      #expect(statistics.jobs == 2 && statistics.caps == 1)
    },
    Promise("a store over its size refuses work until there is room, and results still get in") { provider in
      var options = StoreOptions()
      options.maximumBytes = 3_000_000
      let test = try provider.makeStore(options)
      let writer = try test.makeWriter()
      var count = 0
      while test.store.refusal == nil, count < 1_000 {
        try writer.commit { batch in
          var job = Sample.job("big-\(count)")
          job.body = .array(Sample.bytes("x", count: 20_000))
          batch.finished = [job]
        }
        count += 1
      }
      #expect(test.store.refusal?.code == .sizeLimit)
      #expect(test.store.refusal?.isTransient == true)
      #expect(count > 100 && count < 200)
      try writer.commit { $0.finished = [Sample.job("accepted before")] }
      #expect(try test.store.makeReader().find("accepted before") != nil)
      _ = try maintain(writer, RetentionPolicy(), now: Sample.now + 8 * RetentionPolicy.day)
      #expect(test.store.refusal == nil)
    },
    Promise("pruning counts with a dry run and removes without") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      try writer.commit { batch in
        batch.finished = (0..<1_000).map { Sample.job("j\($0)", status: $0 % 4 == 0 ? 5 : 0) }
      }
      var filter = ResultFilter()
      filter.statuses = [5]
      let maintenance = try test.maintenance()
      #expect(try maintenance.prune(filter, dryRun: true) { _ in true } == 250)
      #expect(try test.queries().statistics().jobs == 1_000)
      #expect(try maintenance.prune(filter, dryRun: false) { _ in true } == 250)
      #expect(try test.queries().statistics().jobsByStatus == ["ok": 750])
    },
    Promise("a forgotten job is new again") { provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      try writer.commit { $0.finished = [Sample.job("x")] }
      let maintenance = try test.maintenance()
      #expect(try maintenance.forget(jobID: Array("x".utf8), tenant: nil, dryRun: true) == 1)
      #expect(try maintenance.forget(jobID: Array("x".utf8), tenant: nil, dryRun: false) == 1)
      #expect(try maintenance.forget(jobID: Array("x".utf8), tenant: nil, dryRun: false) == 0)
      #expect(try writer.commit { $0.finished = [Sample.job("x")] }.isEmpty)
    },
    Promise("a failed job whose request was kept goes back into the journal, for whoever comes first") {
      provider in
      let test = try provider.makeStore(StoreOptions())
      let writer = try test.makeWriter()
      try writer.commit { batch in
        var kept = Sample.job("kept", status: 13)
        kept.request = .array(Array("the request".utf8))
        var fine = Sample.job("fine")
        fine.request = .array([1])
        batch.finished = [kept, Sample.job("bare", status: 3), fine]
      }
      let maintenance = try test.maintenance()
      #expect(try maintenance.retry(ResultFilter(), dryRun: true) == (1, 1))
      #expect(try maintenance.retry(ResultFilter(), dryRun: false) == (1, 1))
      let reader = try test.store.makeReader()
      #expect(try reader.find("kept") == nil)
      #expect(try reader.find("bare") != nil)
      let inherited = try writer.takeOver()
      #expect(inherited.map(\.jobs) == [Array("the request".utf8)])
      #expect(inherited.map(\.origin) == [.retried])
      #expect(try writer.takeOver().isEmpty)
      // It fails again and is retried again: under another name, for a commit that deletes the old row may be repeated.
      try writer.commit { batch in
        var again = Sample.job("kept", status: 13)
        again.request = .array(Array("the request".utf8))
        batch.finished = [again]
        batch.journalDeletions = inherited.map(\.id)
      }
      #expect(try maintenance.retry(ResultFilter(), dryRun: false) == (1, 1))
      try writer.commit { $0.journalDeletions = inherited.map(\.id) }
      #expect(try writer.takeOver().map(\.jobs) == [Array("the request".utf8)])
    },
  ]
}
