internal import Metrics

/// The worker's counters. Made once; labels are a fixed set, so nothing that a producer sends makes new series. Counted in plain
/// integers and handed to the metrics system in batches. Door thread only.
final class WorkerMetrics {
  private var tallies: [UInt64]
  private let jobs: [Counter]
  private var duplicates: UInt64 = 0
  private var skips: UInt64 = 0
  private var malformedMessages: UInt64 = 0
  private var undelivered: UInt64 = 0

  private let duplicateCounter = Counter(label: "nub_jobs_duplicate_total")
  private let skipCounter = Counter(label: "nub_puts_skipped_total")
  private let malformedCounter = Counter(label: "nub_messages_malformed_total")
  private let undeliveredCounter = Counter(label: "nub_replies_undeliverable_total")
  private let depthGauge = Gauge(label: "nub_queue_jobs")
  private let ageGauge = Gauge(label: "nub_queue_oldest_seconds")
  private let inFlightGauge = Gauge(label: "nub_jobs_in_flight")
  private let queueTimer = Metrics.Timer(label: "nub_job_queue_duration_seconds")
  private let runTimer = Metrics.Timer(label: "nub_job_run_duration_seconds")
  private let totalTimer = Metrics.Timer(label: "nub_job_duration_seconds")

  init() {
    var jobs: [Counter] = []
    for verb in Verb.allCases {
      for status in Status.allCases {
        jobs.append(
          Counter(label: "nub_jobs_total", dimensions: [("verb", "\(verb.name)"), ("status", status.name)]))
      }
    }
    self.jobs = jobs
    tallies = Array(repeating: 0, count: jobs.count)
  }

  /// A job was answered. `total` is microseconds from its arrival to now.
  func finished(_ verb: Verb, _ outcome: JobOutcome, total: UInt64) {
    count(verb, outcome.status)
    queueTimer.recordMicroseconds(outcome.queuedMicroseconds)
    runTimer.recordMicroseconds(outcome.runMicroseconds)
    totalTimer.recordMicroseconds(total)
  }

  /// A message with another verb was answered.
  func answered(_ verb: Verb) { count(verb, .ok) }
  /// A message was refused before it became a job.
  func refused(_ status: Status) { count(.call, status) }
  /// A job was answered with what is recorded.
  func duplicate() { duplicates += 1 }
  /// A put was answered from the store.
  func putSkipped() { skips += 1 }
  /// A message without a readable job id.
  func malformed() { malformedMessages += 1 }
  /// A reply that its peer did not take.
  func undeliverable() { undelivered += 1 }

  func queue(depth: Int, oldestMicroseconds: UInt64, inFlight: Int) {
    depthGauge.record(depth)
    ageGauge.record(Double(oldestMicroseconds) / 1e6)
    inFlightGauge.record(inFlight)
  }

  /// Hands what was counted to the metrics system.
  func flush() {
    for index in tallies.indices where tallies[index] > 0 { move(&tallies[index], to: jobs[index]) }
    move(&duplicates, to: duplicateCounter)
    move(&skips, to: skipCounter)
    move(&malformedMessages, to: malformedCounter)
    move(&undelivered, to: undeliveredCounter)
  }

  private func count(_ verb: Verb, _ status: Status) {
    tallies[Int(verb.rawValue) * Status.allCases.count + Int(status.rawValue)] += 1
  }

  private func move(_ tally: inout UInt64, to counter: Counter) {
    guard tally > 0 else { return }
    counter.increment(by: Int64(clamping: tally))
    tally = 0
  }
}
