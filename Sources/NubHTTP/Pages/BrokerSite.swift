internal import HTTPTypes
public import NubBroker
public import NubSecurity

/// A broker's HTTP: metrics, probes, and a page about its services.
public final class BrokerSite: HTTPContent {
  private let board: BrokerBoard
  private let name: String
  private let probes: Probes
  private let ring = ThroughputRing()

  /// - Parameter handshakes: nil without CURVE.
  public init(
    board: BrokerBoard, handshakes: HandshakeTally?, name: String, version: String, registry: MetricsRegistry
  ) {
    self.board = board
    self.name = name
    probes = Probes(registry: registry, build: [("version", version), ("program", "broker")]) {
      Self.health(board.snapshot)
    }
    registry.collect { writer in
      Self.write(board.snapshot ?? BrokerSnapshot(), to: &writer)
      HandshakeMetrics.write(handshakes?.counts ?? HandshakeTally.Counts(), to: &writer)
    }
  }

  private static func health(_ snapshot: BrokerSnapshot?) -> ProcessHealth {
    guard let snapshot else { return ProcessHealth(phase: "starting", isReady: false) }
    return ProcessHealth(
      phase: snapshot.isDraining ? "draining" : "serving", isReady: !snapshot.isDraining)
  }

  public func answer(_ request: PageRequest) -> HTTPAnswer {
    if let response = probes.answer(request) { return .now(response) }
    guard request.path == "/" else { return .now(.text(.notFound, "there is no such page")) }
    return .later { [self] in page() }
  }

  public func tick() {
    guard let counters = board.snapshot?.counters else { return }
    ring.add(succeeded: counters.replies, failed: counters.refused)
  }

  private static func write(_ snapshot: BrokerSnapshot, to writer: inout ExpositionWriter) {
    let counters = snapshot.counters
    writer.counter("nub_broker_messages_total", counters.received)
    writer.counter("nub_broker_replies_total", counters.replies)
    writer.counter("nub_broker_refused_total", counters.refused)
    for (reason, count) in [
      ("unauthorized", counters.unauthorized), ("invalid", counters.invalid),
      ("unexpected", counters.unexpected), ("undeliverable", counters.undeliverable),
    ] { writer.counter("nub_broker_dropped_total", count, [("reason", reason)]) }
    writer.counter("nub_broker_redelivered_total", counters.redelivered)
    writer.counter("nub_broker_registrations_total", counters.registrations)
    writer.counter("nub_broker_workers_gone_total", counters.disconnects, [("how", "goodbye")])
    writer.counter("nub_broker_workers_gone_total", counters.workersLost, [("how", "lost")])
    writer.counter("nub_broker_management_total", counters.management)
    writer.counter("nub_doors_reopened_total", snapshot.reopened)
    writer.gauge("nub_broker_waiting", snapshot.waiting)
    writer.gauge("nub_broker_waiting_bytes", snapshot.waitingBytes)
    writer.gauge("nub_broker_waiting_bytes_limit", snapshot.waitingBytesLimit)
    writer.gauge("nub_broker_workers", snapshot.workers)
    for service in snapshot.services {
      let label = [("service", service.name)]
      writer.gauge("nub_broker_service_workers", service.idle, label + [("state", "idle")])
      writer.gauge("nub_broker_service_workers", service.workers - service.idle, label + [("state", "busy")])
      writer.gauge("nub_broker_service_waiting", service.waiting, label)
      writer.gauge("nub_broker_service_oldest_seconds", Double(service.oldestMilliseconds) / 1_000, label)
      writer.counter("nub_broker_service_requests_total", service.requests, label)
      writer.counter("nub_broker_service_refused_total", service.refused, label)
      writer.counter("nub_broker_service_expired_total", service.expired, label)
    }
  }

  // MARK: The page

  /// What an operator should see first: somebody waits where nobody works.
  private static func mark(_ service: BrokerSnapshot.ServiceState) -> HTML {
    service.waiting > 0 && service.workers == 0 ? " <span class=\"pill bad\">no worker</span>" : ""
  }

  private func page() -> PageResponse {
    let snapshot = board.snapshot ?? BrokerSnapshot()
    let counters = snapshot.counters
    let layout = Layout(
      program: "broker", name: Show.text(name, limit: 64), state: Pages.state(Self.health(board.snapshot)))
    let lines = snapshot.services.map { service -> HTML in
      """
      <tr><td class="name">\(Show.text(service.name, limit: 100))\(Self.mark(service))</td><td class="n" data-l="slots">\(Show.count(service.workers))</td>\
      <td class="n" data-l="idle">\(Show.count(service.idle))</td><td class="n" data-l="waiting">\(Show.count(service.waiting))</td>\
      <td class="n" data-l="oldest">\(service.waiting > 0 ? Show.microseconds(service.oldestMilliseconds * 1_000) : "")</td>\
      <td class="n" data-l="requests">\(Show.count(service.requests))</td><td class="n" data-l="refused">\(Show.count(service.refused))</td>\
      <td class="n" data-l="expired">\(Show.count(service.expired))</td></tr>
      """
    }
    let table: HTML =
      lines.isEmpty
      ? "<p class=\"empty\">No worker has registered a service.</p>"
      : """
      <table class="stack"><tr><th>Service</th><th class="n">Slots</th><th class="n">Idle</th><th class="n">Waiting</th>\
      <th class="n">Oldest</th><th class="n">Requests</th><th class="n">Refused</th><th class="n">Expired</th></tr>\(lines)</table>
      """
    return layout.page(
      "nub: \(Show.text(name, limit: 64))", isLive: true,
      """
      <div class="card tiles"><div class="tile"><b>\(ring.rate(over: 10).map { Show.decimal($0) } ?? "–")</b><span>answers per second</span></div>\
      <div class="tile"><b>\(Show.count(snapshot.waiting))</b><span>waiting, \(Show.bytes(snapshot.waitingBytes))</span></div>\
      <div class="tile"><b>\(Show.count(snapshot.workers))</b><span>worker slots</span></div>\
      <div class="tile\(counters.refused > 0 ? " bad" : "")"><b>\(Show.count(counters.refused))</b><span>refused</span></div></div>
      <h2>Throughput</h2>\(Chart.throughput(ring.bins(of: 5), seconds: 5))
      <h2>Services</h2><div class="card wide">\(table)</div>
      <h2>This broker</h2><div class="card"><dl><dt>Messages</dt><dd>\(Show.count(counters.received))</dd>
      <dt>Workers</dt><dd>\(Show.count(counters.registrations)) registrations, \(Show.count(counters.disconnects)) goodbyes, \
      \(Show.count(counters.workersLost)) fell silent</dd>
      <dt>Dropped</dt><dd>\(Show.count(counters.unauthorized)) unauthorized, \(Show.count(counters.invalid)) invalid, \
      \(Show.count(counters.undeliverable)) undeliverable</dd></dl></div>
      """)
  }
}
