internal import Metrics
internal import NubBroker

/// The worker's counters. Made once; labels are a fixed set, so nothing that a producer sends makes new series. Counted in plain
/// integers and handed to the metrics system in batches. Door thread only.
final class WorkerMetrics {
  /// Kept for the operator's page, and what is counted since the last ``flush()``.
  private(set) var totals = WorkerTotals()
  private var flushed = WorkerTotals()
  private var tallies: [UInt64]
  private let jobs: [Counter]

  private let duplicateCounter: Counter
  private let putCounter: Counter
  private let skipCounter: Counter
  private let messageCounter: Counter
  private let malformedCounter: Counter
  private let undeliveredCounter: Counter
  private let reopenedCounter: Counter
  private let waitingAtDirect: Gauge
  private let waitingAtPipelines: Gauge
  private let receivedCounter: Counter
  private let sentCounter: Counter
  private let depthGauges: [Gauge]
  private let ageGauges: [Gauge]
  private let inFlightGauge: Gauge
  private let limitGauge: Gauge
  private let busyLanes: Gauge
  private let idleLanes: Gauge
  private let queueTimer: Metrics.Timer
  private let runTimer: Metrics.Timer
  private let totalTimer: Metrics.Timer
  private let fleet: FleetMetrics

  /// `other` is for messages that were refused before their verb was known.
  private static let verbs = Verb.allCases.map { "\($0.name)" } + ["other"]

  init(factory: any MetricsFactory = MetricsSystem.factory) {
    func counter(_ label: String, _ dimensions: [(String, String)] = []) -> Counter {
      Counter(label: label, dimensions: dimensions, factory: factory)
    }
    func gauge(_ label: String, _ dimensions: [(String, String)] = []) -> Gauge {
      Gauge(label: label, dimensions: dimensions, factory: factory)
    }
    func timer(_ label: String) -> Metrics.Timer { Timer(label: label, dimensions: [], factory: factory) }
    var jobs: [Counter] = []
    for verb in Self.verbs {
      for status in Status.allCases {
        jobs.append(counter("nub_jobs_total", [("verb", verb), ("status", status.name)]))
      }
    }
    self.jobs = jobs
    tallies = Array(repeating: 0, count: jobs.count)
    duplicateCounter = counter("nub_jobs_duplicate_total")
    putCounter = counter("nub_puts_total")
    skipCounter = counter("nub_puts_skipped_total")
    messageCounter = counter("nub_messages_received_total")
    malformedCounter = counter("nub_messages_malformed_total")
    undeliveredCounter = counter("nub_replies_undeliverable_total")
    reopenedCounter = counter("nub_doors_reopened_total")
    waitingAtDirect = gauge("nub_replies_waiting", [("door", "direct")])
    waitingAtPipelines = gauge("nub_replies_waiting", [("door", "pipeline")])
    receivedCounter = counter("nub_received_bytes_total")
    sentCounter = counter("nub_sent_bytes_total")
    depthGauges = (0...9).map { gauge("nub_queue_jobs", [("priority", "\($0)")]) }
    ageGauges = (0...9).map { gauge("nub_queue_oldest_seconds", [("priority", "\($0)")]) }
    inFlightGauge = gauge("nub_jobs_in_flight")
    limitGauge = gauge("nub_jobs_in_flight_limit")
    busyLanes = gauge("nub_lanes", [("state", "busy")])
    idleLanes = gauge("nub_lanes", [("state", "idle")])
    queueTimer = timer("nub_job_queue_duration_seconds")
    runTimer = timer("nub_job_run_duration_seconds")
    totalTimer = timer("nub_job_duration_seconds")
    fleet = FleetMetrics(factory)
  }

  /// A job was answered. `total` is microseconds from its arrival to now.
  func finished(_ verb: Verb, _ outcome: JobOutcome, total: UInt64, isDuplicate: Bool) {
    count(verb, outcome.status)
    if outcome.status == .ok {
      totals.succeeded += 1
      if verb == .putCap, !isDuplicate { totals.puts += 1 }
    } else {
      totals.failed += 1
    }
    queueTimer.recordMicroseconds(outcome.queuedMicroseconds)
    runTimer.recordMicroseconds(outcome.runMicroseconds)
    totalTimer.recordMicroseconds(total)
  }

  /// A message with another verb was answered.
  func answered(_ verb: Verb, _ status: Status) { count(verb, status) }
  /// A message was refused before it became a job; nil where its verb is not known.
  func refused(_ verb: Verb?, _ status: Status) { count(verb, status) }
  /// A job was answered with what is recorded.
  func duplicate() { totals.duplicates += 1 }
  /// A put was answered from the store.
  func putSkipped() { totals.skips += 1 }
  /// A message came in.
  func received(bytes: Int) {
    totals.messages += 1
    totals.receivedBytes += UInt64(bytes)
  }
  /// A reply has left.
  func sent(bytes: Int) { totals.sentBytes += UInt64(bytes) }
  /// A message without a readable job id.
  func malformed() { totals.malformed += 1 }
  /// A reply that its peer did not take.
  func undeliverable() { totals.undeliverable += 1 }

  /// A door was closed and opened again to get memory back.
  func reopened() { reopenedCounter.increment() }

  func queue(_ levels: [QueueLevel], inFlight: Int, limit: Int, lanes: (busy: Int, idle: Int)) {
    for (priority, level) in levels.enumerated() where priority < depthGauges.count {
      depthGauges[priority].record(level.jobs)
      ageGauges[priority].record(Double(level.oldestMicroseconds) / 1e6)
    }
    inFlightGauge.record(inFlight)
    limitGauge.record(limit)
    busyLanes.record(lanes.busy)
    idleLanes.record(lanes.idle)
  }

  /// Replies that no peer takes now.
  func repliesWaiting(direct: Int, pipelines: Int) {
    waitingAtDirect.record(direct)
    waitingAtPipelines.record(pipelines)
  }

  func fleets(_ bridges: [FleetBridge]) { fleet.record(bridges) }

  /// Hands what was counted to the metrics system.
  func flush() {
    for index in tallies.indices where tallies[index] > 0 {
      jobs[index].increment(by: Int64(clamping: tallies[index]))
      tallies[index] = 0
    }
    move(\.duplicates, to: duplicateCounter)
    move(\.puts, to: putCounter)
    move(\.skips, to: skipCounter)
    move(\.messages, to: messageCounter)
    move(\.malformed, to: malformedCounter)
    move(\.undeliverable, to: undeliveredCounter)
    move(\.receivedBytes, to: receivedCounter)
    move(\.sentBytes, to: sentCounter)
    flushed = totals
  }

  private func count(_ verb: Verb?, _ status: Status) {
    let row = verb.map { Int($0.rawValue) } ?? Self.verbs.count - 1
    tallies[row * Status.allCases.count + Int(status.rawValue)] += 1
  }

  private func move(_ path: KeyPath<WorkerTotals, UInt64>, to counter: Counter) {
    let difference = totals[keyPath: path] - flushed[keyPath: path]
    if difference > 0 { counter.increment(by: Int64(clamping: difference)) }
  }
}

/// What the fleet doors' threads have counted, handed on as differences.
private final class FleetMetrics {
  private let reconnects: Counter
  private let requests: Counter
  private let dropped: Counter
  private let busy: Gauge
  private var seen = MajordomoWorker.Counters()

  init(_ factory: any MetricsFactory) {
    reconnects = Counter(label: "nub_fleet_reconnects_total", dimensions: [], factory: factory)
    requests = Counter(label: "nub_fleet_requests_total", dimensions: [], factory: factory)
    dropped = Counter(label: "nub_fleet_dropped_total", dimensions: [], factory: factory)
    busy = Gauge(label: "nub_fleet_slots_busy", dimensions: [], factory: factory)
  }

  func record(_ bridges: [FleetBridge]) {
    var sum = MajordomoWorker.Counters()
    var slots = 0
    for bridge in bridges {
      let statistics = bridge.statistics
      sum.reconnects += statistics.slots.reconnects
      sum.requests += statistics.slots.requests
      sum.dropped += statistics.slots.dropped
      sum.lateReplies += statistics.slots.lateReplies
      slots += statistics.busy
    }
    func difference(_ new: UInt64, _ old: UInt64) -> Int64 { new > old ? Int64(clamping: new - old) : 0 }
    reconnects.increment(by: difference(sum.reconnects, seen.reconnects))
    requests.increment(by: difference(sum.requests, seen.requests))
    dropped.increment(by: difference(sum.dropped + sum.lateReplies, seen.dropped + seen.lateReplies))
    busy.record(slots)
    seen = sum
  }
}
