internal import NubStore
internal import NubWorker

/// The worker's overview: what runs, what waits, what failed and why, and how much was done of late.
struct OverviewPage {
  var snapshot: WorkerSnapshot
  var report: ProcessHealth
  var ring: ThroughputRing
  var store: StoreMetrics
  var residentBytes: Int?
  /// The newest failures, or why they cannot be read.
  var failures: Result<[ResultRow], StoreError>
  /// Unix milliseconds.
  var now: Int64

  var main: HTML {
    """
    \(problems)<div class="card tiles">\(tiles)</div>
    <h2>Throughput</h2>
    \(Chart.throughput(ring.bins(of: 5), seconds: 5))
    <h2>Lanes <small>\(snapshot.lanes.count { $0.jobs > 0 }) of \(snapshot.lanes.count) busy</small></h2>
    <div class="card wide">\(lanes)</div>
    \(queue)<h2>Newest failures <a href="/jobs?failed=1">all failures</a> <a href="/jobs">all results</a></h2>
    <div class="card wide">\(failureTable)</div>
    <h2>This worker</h2>
    <div class="card">\(facts)</div>
    """
  }

  private var problems: HTML {
    let list = ProcessHealth.parts.compactMap { part -> HTML? in
      report.problems[part].map { problem in
        "<p class=\"card note bad\" role=\"alert\"><b>\(part)</b> \(Show.text(problem))</p>"
      }
    }
    return "\(list)"
  }

  private var tiles: [HTML] {
    let rate = ring.rate(over: 10)
    let waiting = snapshot.queue.reduce(0) { $0 + $1.jobs }
    let oldest = snapshot.queue.map(\.oldestMicroseconds).max() ?? 0
    let failed = ring.failedLately
    return [
      tile(rate.map { Show.decimal($0) } ?? "–", "jobs per second"),
      tile(Show.count(waiting), waiting > 0 ? "waiting, the oldest \(Show.microseconds(oldest))" : "waiting"),
      tile(Show.count(snapshot.inFlight), "in flight, of at most \(Show.count(snapshot.maximumJobs))"),
      tile(Show.count(failed), "failed in 10 minutes", isBad: failed > 0),
      tile(Show.bytes(store.databaseBytes + store.logBytes), "store"),
    ]
  }

  private func tile(_ value: String, _ label: String, isBad: Bool = false) -> HTML {
    "<div class=\"tile\(isBad ? " bad" : "")\"><b>\(value)</b><span>\(label)</span></div>"
  }

  private var lanes: HTML {
    if snapshot.lanes.isEmpty { return "<p class=\"empty\">No lanes yet.</p>" }
    // A machine may have hundreds; the busy ones tell most.
    let order = snapshot.lanes.enumerated().sorted {
      ($0.element.jobs > 0 ? 0 : 1, $0.offset) < ($1.element.jobs > 0 ? 0 : 1, $1.offset)
    }
    let rows = order.prefix(64).map { index, lane -> HTML in
      guard lane.jobs > 0 else {
        return
          "<tr><td data-l=\"lane\">\(index)</td><td><span class=\"pill idle\">idle</span></td><td></td><td></td><td></td><td></td><td></td></tr>"
      }
      return """
        <tr><td data-l="lane">\(index)</td><td><span class="pill">running</span></td>\
        <td class="n" data-l="jobs">\(lane.jobs)</td><td data-l="function">\(Show.text(lane.function, limit: 64))</td>\
        <td class="name" data-l="tenant">\(Pages.tenant(lane.tenant))</td>\
        <td class="job"><span class="id">\(Show.text(Show.jobID(lane.jobID), limit: 140))</span></td>\
        <td class="n" data-l="for">\(Show.microseconds(lane.microseconds))</td></tr>
        """
    }
    return """
      <table class="stack"><tr><th>Lane</th><th>State</th><th class="n">Jobs</th><th>Function</th><th>Tenant</th><th>First job</th>\
      <th class="n">For</th></tr>\(Array(rows))</table>
      """
  }

  private var queue: HTML {
    let levels = snapshot.queue.enumerated().filter { $0.element.jobs > 0 }.reversed()
    if levels.isEmpty { return "" }
    let rows = levels.map { priority, level -> HTML in
      """
      <tr><td>\(priority)</td><td class="n">\(Show.count(level.jobs))</td>\
      <td class="n">\(Show.microseconds(level.oldestMicroseconds))</td></tr>
      """
    }
    return """
      <h2>Waiting</h2><div class="card wide"><table><tr><th>Priority</th><th class="n">Jobs</th>\
      <th class="n">Oldest</th></tr>\(Array(rows))</table></div>

      """
  }

  private var failureTable: HTML {
    switch failures {
    case .failure(let error):
      "<p class=\"empty\">The store cannot be read: \(Show.text(error.message))</p>"
    case .success(let rows):
      rows.isEmpty ? "<p class=\"empty\">Nothing has failed.</p>" : Pages.results(rows, now: now)
    }
  }

  private var facts: HTML {
    let totals = snapshot.totals
    return """
      <dl><dt>Up since</dt><dd>\(Show.time(snapshot.startedMilliseconds)) UTC, for \
      \(Show.seconds(Double(max(0, now - snapshot.startedMilliseconds)) / 1_000))</dd>
      <dt>Doors</dt><dd class="id">\(Show.text(snapshot.endpoints.joined(separator: "  "), limit: 1_000))</dd>
      <dt>Engine</dt><dd>\(snapshot.engine), version \(snapshot.version)\
      \(residentBytes.map { ", \(Show.bytes($0)) resident" } ?? "")</dd>
      <dt>Jobs</dt><dd>\(Show.count(totals.succeeded)) succeeded, \(Show.count(totals.failed)) failed, \
      \(Show.count(totals.duplicates)) answered from the store</dd>
      <dt>Caps</dt><dd>\(Show.count(totals.puts)) stored, \(Show.count(totals.skips)) known already — \
      <a href="/caps">newest caps</a></dd>
      <dt>Traffic</dt><dd>\(Show.count(totals.messages)) messages, \(Show.bytes(totals.receivedBytes)) in, \
      \(Show.bytes(totals.sentBytes)) of replies out</dd>
      <dt>Dropped</dt><dd>\(Show.count(totals.malformed)) unreadable messages, \
      \(Show.count(totals.undeliverable)) replies that nobody took</dd></dl>
      """
  }
}

/// Parts that several pages share.
enum Pages {
  static func state(_ report: ProcessHealth) -> HTML {
    if !report.isLive { return "<span class=\"pill bad\">stuck</span>" }
    if !report.problems.isEmpty {
      return "<span class=\"pill bad\">\(report.phase == "serving" ? "not ready" : report.phase)</span>"
    }
    return "<span class=\"pill\(report.phase == "serving" ? "" : " warn")\">\(report.phase)</span>"
  }

  static func tenant(_ name: String) -> HTML {
    name.isEmpty ? "<span class=\"soft\">default</span>" : "\(Show.text(name, limit: 64))"
  }

  static func link(toJob id: [UInt8]) -> HTML {
    let text = Show.text(Show.jobID(id), limit: 140)
    return "<a class=\"id\" href=\"/job?id=\(Percent.encode(id))\" title=\"\(text)\">\(text)</a>"
  }

  static func link(toCap hash: String) -> HTML { "<a class=\"id\" href=\"/cap?hash=\(hash)\">\(hash)</a>" }

  static func status(_ row: ResultRow) -> HTML {
    "<span class=\"pill\(row.status == 0 ? "" : row.status == 6 ? " warn" : " bad")\">\(row.statusName)</span>"
  }

  static func results(_ rows: [ResultRow], now: Int64) -> HTML {
    let lines = rows.map { row -> HTML in
      """
      <tr><td class="t" title="\(Show.time(row.finishedMilliseconds)) UTC">\(Show.ago(row.finishedMilliseconds, now: now))</td>\
      <td class="job">\(link(toJob: row.jobID))</td><td>\(status(row))</td><td data-l="function">\(Show.text(row.function, limit: 64))</td>\
      <td class="name" data-l="tenant">\(tenant(row.tenant))</td><td class="n" data-l="ran">\(Show.microseconds(row.runMicroseconds))</td>\
      <td class="why">\(row.message.map { "\(Show.text($0, limit: 240))" as HTML } ?? "")</td></tr>
      """
    }
    return """
      <table class="stack"><tr><th>Finished</th><th>Job</th><th>Status</th><th>Function</th><th>Tenant</th><th class="n">Ran</th>\
      <th>Why</th></tr>\(lines)</table>
      """
  }
}
