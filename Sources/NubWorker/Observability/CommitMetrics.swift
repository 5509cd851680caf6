internal import Metrics

/// What is measured of transactions: once for each, however many jobs it holds.
struct CommitMetrics {
  private let duration = Metrics.Timer(label: "nub_commit_duration_seconds")
  private let jobs = Recorder(label: "nub_commit_jobs")
  private let failures = Counter(label: "nub_commit_failures_total")

  func committed(jobs count: Int, microseconds: UInt64) {
    duration.recordMicroseconds(microseconds)
    // Heartbeats and notes have none.
    if count > 0 { jobs.record(count) }
  }

  func failed() { failures.increment() }
}
