import NubStore
import NubStoreSamples
import NubStoreTesting
import Synchronization
import Testing

@Suite struct QueryTests {
  private let folder: TemporaryFolder
  private let queries: SQLiteQueries
  private let writer: any StoreWriter

  /// 3000 jobs in known proportions.
  init() throws {
    folder = try TemporaryFolder()
    let store = try SQLiteStore(path: folder.path("store.db"))
    writer = try store.makeWriter(WorkerIdentity(name: "alpha", host: "h", pid: 1, version: "1"))
    let image = try writer.image(
      ImageRecord(digest: [7], name: "guest", functions: [(1, "echo"), (16, "counter")]))
    let tenants = [TenantID.default, try writer.tenant("red"), try writer.tenant("blue")]
    try writer.commit { batch in
      for index in 0..<3_000 {
        let status: UInt32 = index % 100 == 0 ? 3 : index % 100 == 1 ? 6 : index % 100 == 2 ? 13 : 0
        var job = Sample.job("job-\(index)", tenant: tenants[index % 3], status: status)
        job.image = image
        job.operand = .array(index % 5 == 0 ? [16, 0, 0, 0] : [1, 0, 0, 0])
        job.runMicroseconds = UInt64(index * 7_919 % 3_000)
        job.queuedMicroseconds = UInt64(index * 104_729 % 3_000)
        job.finishedMilliseconds = Sample.now + Int64(index) * 1_000
        batch.finished.append(job)
      }
    }
    queries = try SQLiteQueries(path: folder.path("store.db"))
  }

  /// Follows cursors to the end.
  private func all(
    _ filter: ResultFilter, _ order: ResultOrder = .newest, limit: Int = 70, budget: Duration = .seconds(60)
  ) throws -> [ResultRow] {
    var rows: [ResultRow] = []
    var cursor: PageCursor?
    repeat {
      let page = try queries.results(filter, order: order, limit: limit, after: cursor, budget: budget)
      #expect(page.rows.count <= limit)
      rows += page.rows
      cursor = page.next
    } while cursor != nil
    return rows
  }

  private func filter(_ set: (inout ResultFilter) -> Void) -> ResultFilter {
    var filter = ResultFilter()
    set(&filter)
    return filter
  }

  @Test func pagesJoinToTheWholeListOnceAndInOrder() throws {
    for order in [ResultOrder.newest, .oldest] {
      let seqs = try all(ResultFilter(), order).map(\.seq)
      #expect(seqs == (order == .newest ? Array((1...3_000).reversed()) : Array(1...3_000)))
    }
  }

  @Test func outOfTimeStillGetsEverythingByCursor() throws {
    let rows = try all(filter { $0.state = "quarantined" }, budget: .zero)
    #expect(rows.count == 30)
    #expect(rows.map(\.seq) == rows.map(\.seq).sorted(by: >))
  }

  @Test func everyFilterKeepsExactlyItsRows() throws {
    let everything = try all(ResultFilter())
    let expected: [(ResultFilter, (ResultRow) -> Bool)] = [
      (filter { $0.tenant = "red" }, { $0.tenant == "red" }),
      (filter { $0.tenant = "" }, { $0.tenant == "" }),
      (filter { $0.tenant = "nobody" }, { _ in false }),
      (filter { $0.state = "cancelled" }, { $0.state == "cancelled" }),
      (filter { $0.state = "succeeded" }, { $0.status == 0 }),
      (filter { $0.statuses = [3, 13] }, { [3, 13].contains($0.status) }),
      (filter { $0.statuses = [0, 3] }, { [0, 3].contains($0.status) }),
      (filter { $0.onlyFailures = true }, { $0.status != 0 }),
      (filter { $0.verb = "call" }, { _ in true }),
      (filter { $0.verb = "put_cap" }, { _ in false }),
      (filter { $0.function = "counter" }, { $0.function == "counter" }),
      (filter { $0.function = "16" }, { $0.function == "counter" }),
      (filter { $0.worker = "alpha" }, { _ in true }),
      (filter { $0.worker = "beta" }, { _ in false }),
      (filter { $0.since = Sample.now + 2_000_000 }, { $0.finishedMilliseconds >= Sample.now + 2_000_000 }),
      (filter { $0.until = Sample.now + 2_000_000 }, { $0.finishedMilliseconds < Sample.now + 2_000_000 }),
      (
        filter {
          $0.tenant = "blue"
          $0.onlyFailures = true
          $0.function = "echo"
        }, { $0.tenant == "blue" && $0.status != 0 && $0.function == "echo" }
      ),
    ]
    for (filter, keeps) in expected {
      #expect(try all(filter) == everything.filter(keeps), "\(filter)")
    }
  }

  @Test func rankingPutsTheLargestFirst() throws {
    let slowest = try queries.results(
      ResultFilter(), order: .slowest, limit: 5, after: nil, budget: .seconds(60))
    #expect(slowest.rows.map(\.runMicroseconds) == [2_999, 2_998, 2_997, 2_996, 2_995])
    let waited = try queries.results(
      ResultFilter(), order: .longestQueued, limit: 2, after: nil, budget: .seconds(60))
    #expect(waited.rows.map(\.queuedMicroseconds) == [2_999, 2_998])
    #expect(slowest.next == nil && slowest.ranksSince == nil)
  }

  @Test func aRankingThatIsOutOfTimeSaysWhichJobsItRanks() throws {
    try writer.commit { batch in
      for index in 3_000..<5_000 {
        var job = Sample.job("job-\(index)")
        job.runMicroseconds = UInt64(index)
        job.finishedMilliseconds = Sample.now + Int64(index) * 1_000
        batch.finished.append(job)
      }
    }
    // The first window is of 4096 jobs.
    let page = try queries.results(ResultFilter(), order: .slowest, limit: 3, after: nil, budget: .zero)
    #expect(page.rows.map(\.runMicroseconds) == [4_999, 4_998, 4_997] && page.next == nil)
    let since = Sample.now + 904 * 1_000
    #expect(page.ranksSince == since)
    let rest = try queries.results(
      filter { $0.until = since }, order: .slowest, limit: 10_000, after: nil, budget: .seconds(60))
    #expect(rest.rows.count == 904 && rest.ranksSince == nil)
  }

  @Test func aRankingHasNoSecondPage() throws {
    for order in [ResultOrder.slowest, .longestQueued] {
      let error = storeError {
        _ = try queries.results(
          ResultFilter(), order: order, limit: 5, after: PageCursor("100"), budget: .seconds(60))
      }
      #expect(error?.code == .misuse)
    }
  }

  @Test func aWordThatMeansNothingIsSaid() throws {
    #expect(storeError { _ = try all(filter { $0.state = "gone" }) }?.code == .misuse)
    #expect(storeError { _ = try all(filter { $0.verb = "dance" }) }?.code == .misuse)
    #expect(storeError { _ = try all(ResultFilter(), limit: 0) }?.code == .misuse)
    #expect(PageCursor("-1") == nil && PageCursor("x") == nil)
  }

  @Test func oneJobIsShownWithAllThereIs() throws {
    let detail = try #require(try queries.result(jobID: Array("job-100".utf8), tenant: nil).first)
    #expect(detail.row.status == 3 && detail.row.statusName == "guest_error" && detail.row.state == "failed")
    #expect(detail.row.function == "counter" && detail.row.image == "guest" && detail.row.worker == "alpha")
    #expect(detail.row.message == "failed: job-100" && detail.result == nil && !detail.canRetry)
    let fine = try #require(try queries.result(jobID: Array("job-3".utf8), tenant: "").first)
    #expect(fine.result == Sample.bytes("job-3", count: 100))
    #expect(try queries.result(jobID: Array("job-3".utf8), tenant: "red").isEmpty)
  }

  @Test func statisticsAddUp() throws {
    let statistics = try queries.statistics()
    #expect(statistics.jobs == 3_000)
    #expect(statistics.jobsByStatus == ["ok": 2_910, "guest_error": 30, "cancelled": 30, "quarantined": 30])
    #expect(statistics.tenants == 3 && statistics.liveWorkers == ["alpha"])
    #expect(statistics.oldestMilliseconds == Sample.now)
    let minutes = try queries.throughput(minutes: 5, budget: .seconds(60))
    #expect(minutes.count == 5)
    #expect(minutes.allSatisfy { $0.jobs == 60 })
    #expect(minutes.map(\.minute) == minutes.map(\.minute).sorted(by: >))
  }

  @Test func readersSeeWholeTransactionsWhileAWriterCommits() throws {
    let path = folder.path("store.db")
    let isDone = Atomic<Bool>(false)
    let partial = Atomic<Int>(0)
    // Each commit adds 64 jobs: any other number would be half a transaction.
    withTaskThreads {
      while !isDone.load(ordering: .acquiring) {
        guard let jobs = try? SQLiteQueries(path: path).statistics().jobs else { continue }
        if (jobs - 3_000) % 64 != 0 { partial.add(1, ordering: .relaxed) }
      }
    } body: {
      defer { isDone.store(true, ordering: .releasing) }
      for round in 0..<60 {
        _ = try? writer.commit { $0.finished = (0..<64).map { Sample.job("during-\(round)-\($0)") } }
      }
    }
    #expect(partial.load(ordering: .relaxed) == 0)
    #expect(try queries.statistics().jobs == 3_000 + 60 * 64)
  }
}
