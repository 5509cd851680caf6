internal import Glibc
internal import HTTPTypes
internal import NubStore
public import NubWorker
internal import Synchronization

/// A worker's HTTP: metrics, probes, and the operator's page.
public final class WorkerSite: HTTPContent {
  private let worker: Worker
  private let storePath: String
  private let probes: Probes
  private let store: StoreMetrics
  private let ring = ThroughputRing()
  private let queries: QueriesBox

  public init(worker: Worker, configuration: WorkerConfiguration, registry: MetricsRegistry) {
    self.worker = worker
    storePath = configuration.storePath
    queries = QueriesBox(path: configuration.storePath)
    let health = worker.health
    probes = Probes(
      registry: registry,
      build: [
        ("version", configuration.version), ("program", "worker"), ("engine", configuration.engine.rawValue),
      ]
    ) { ProcessHealth(health.report) }
    let store = StoreMetrics(path: configuration.storePath, limit: configuration.maximumStoreBytes)
    self.store = store
    registry.collect { writer in
      store.write(to: &writer)
      HandshakeMetrics.write(worker.handshakes, to: &writer)
    }
  }

  public func answer(_ request: PageRequest) -> HTTPAnswer {
    if let response = probes.answer(request) { return .now(response) }
    switch request.path {
    case "/", "/jobs", "/job", "/caps", "/cap", "/search":
      return .later { [self] in page(request) }
    default:
      return .now(.text(.notFound, "there is no such page"))
    }
  }

  public func tick() {
    let totals = worker.snapshot.totals
    ring.add(succeeded: totals.succeeded &+ totals.duplicates, failed: totals.failed)
  }

  /// On the pages' thread.
  private func page(_ request: PageRequest) -> PageResponse {
    let report = ProcessHealth(worker.health.report)
    let snapshot = worker.snapshot
    let layout = Layout(
      program: "worker", name: Show.text(snapshot.name, limit: 64), state: Pages.state(report),
      search: "job id or cap hash", links: [("/", "Overview"), ("/jobs", "Results"), ("/caps", "Caps")])
    let now = Self.now
    do throws(StoreError) {
      if let response = try StorePages(layout: layout, queries: try queries.open(), now: now).answer(request)
      {
        return response
      }
    } catch {
      if request.path != "/" {
        return layout.page(
          "nub: the store", status: .serviceUnavailable,
          "<h1>The store does not answer</h1><p class=\"card note bad\">\(Show.text(error.message))</p>")
      }
    }
    let overview = OverviewPage(
      snapshot: snapshot, report: report, ring: ring, store: store,
      residentBytes: ProcessMetrics.residentBytes,
      failures: newestFailures(), now: now)
    return layout.page("nub: \(Show.text(snapshot.name, limit: 64))", isLive: true, overview.main)
  }

  private func newestFailures() -> Result<[ResultRow], StoreError> {
    Result { () throws(StoreError) in
      var filter = ResultFilter()
      filter.onlyFailures = true
      return try queries.open().results(filter, limit: 12, budget: .milliseconds(100)).rows
    }
  }

  private static var now: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
  }
}

/// The pages' connection to the store: opened when first needed, for the worker makes the file, and again after an error.
final class QueriesBox: Sendable {
  private let path: String
  private let connection = Mutex<SQLiteQueries?>(nil)

  init(path: String) { self.path = path }

  func open() throws(StoreError) -> SQLiteQueries {
    if let known = connection.withLock({ $0 }) { return known }
    let opened = try SQLiteQueries(path: path, options: StoreOptions(), timeLimit: .milliseconds(500))
    connection.withLock { $0 = opened }
    return opened
  }
}
