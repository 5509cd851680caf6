import CoreMetrics
import Metrics
import NubHTTP
import Testing

@Suite struct MetricsTests {
  let registry = MetricsRegistry()

  func lines(_ prefix: String) -> [String] {
    registry.exposition().split(separator: "\n").map(String.init).filter { $0.hasPrefix(prefix) }
  }

  @Test func countersAndGaugesAreWrittenWithTheirLabels() {
    Counter(label: "nub_jobs_total", dimensions: [("verb", "call"), ("status", "ok")], factory: registry)
      .increment(by: 3)
    Counter(label: "nub_jobs_total", dimensions: [("status", "ok"), ("verb", "call")], factory: registry)
      .increment(by: 4)
    Gauge(label: "nub_jobs_in_flight", dimensions: [], factory: registry).record(2.5)
    #expect(lines("nub_jobs_total") == ["nub_jobs_total{status=\"ok\",verb=\"call\"} 7"])
    #expect(lines("nub_jobs_in_flight ") == ["nub_jobs_in_flight 2.5"])
    #expect(lines("# TYPE nub_jobs_total") == ["# TYPE nub_jobs_total counter"])
    #expect(lines("# HELP nub_jobs_total").count == 1)
  }

  @Test func aHistogramsBucketsAreCumulativeAndEndWithInf() {
    let timer = Timer(label: "nub_job_duration_seconds", dimensions: [], factory: registry)
    timer.recordMicroseconds(10)
    timer.recordMicroseconds(11)
    timer.recordSeconds(3_600)
    let buckets = lines("nub_job_duration_seconds_bucket")
    #expect(buckets.first == "nub_job_duration_seconds_bucket{le=\"1e-05\"} 1")
    #expect(buckets[1] == "nub_job_duration_seconds_bucket{le=\"2.5e-05\"} 2")
    #expect(buckets.last == "nub_job_duration_seconds_bucket{le=\"+Inf\"} 3")
    #expect(lines("nub_job_duration_seconds_count") == ["nub_job_duration_seconds_count 3"])
    #expect(lines("nub_job_duration_seconds_sum") == ["nub_job_duration_seconds_sum 3600.000021"])
  }

  @Test func hostileLabelsAreEscapedAndBoundedInNumberAndLength() {
    Counter(label: "a-b", dimensions: [("x", "quote\" back\\ line\nend")], factory: registry).increment()
    #expect(lines("a_b") == ["a_b{x=\"quote\\\" back\\\\ line\\nend\"} 1"])
    for index in 0..<2_000 {
      let value = "\(index)" + String(repeating: "x", count: 1_000)
      Counter(label: "many", dimensions: [("tenant", value)], factory: registry).increment()
    }
    let series = lines("many")
    #expect(series.count == MetricsRegistry.maximumSeries + 1)
    #expect(series.contains("many{tenant=\"other\"} \(2_000 - MetricsRegistry.maximumSeries)"))
    #expect(series.allSatisfy { $0.utf8.count < 200 })
    for index in 0..<2_000 { Counter(label: "name_\(index)", dimensions: [], factory: registry).increment() }
    #expect(lines("name_").count < MetricsRegistry.maximumNames)
  }

  @Test func oneNameForTwoKindsStaysOneFamily() {
    Counter(label: "twice", dimensions: [], factory: registry).increment()
    Gauge(label: "twice", dimensions: [], factory: registry).record(9)
    #expect(lines("twice") == ["twice 1"])
  }

  @Test func countsFromManyThreadsAddUp() async {
    let counter = Counter(label: "threads", dimensions: [], factory: registry)
    let timer = Timer(label: "nub_commit_duration_seconds", dimensions: [], factory: registry)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for index in 0..<1_000 {
            counter.increment()
            timer.recordNanoseconds(Int64(index) * 1_000)
          }
        }
      }
    }
    #expect(lines("threads ") == ["threads 8000"])
    #expect(lines("nub_commit_duration_seconds_count") == ["nub_commit_duration_seconds_count 8000"])
  }
}
