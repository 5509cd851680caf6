import Foundation
import Testing

@testable import NubBench

@Suite struct BenchTests {
  @Test func theMedianIsTheMiddleOrTheMeanOfTheTwoMiddles() {
    #expect(median([]) == 0)
    #expect(median([3, 1, 2]) == 2)
    #expect(median([4, 1, 3, 2]) == 2.5)
  }

  @Test func aPercentileIsTheNearestRank() {
    let values = (1...1_000).map(Double.init)
    #expect(percentile(values, 0.5) == 500)
    #expect(percentile(values, 0.99) == 990)
    #expect(percentile(values, 0.999) == 999)
    #expect(percentile(values, 1) == 1_000)
    #expect(percentile(values, 0) == 1)
    #expect(percentile([], 0.5) == 0)
  }

  @Test(arguments: [JobIDs.Order.ordered, .random])
  func noJobIDComesTwice(_ order: JobIDs.Order) {
    var ids = JobIDs(order)
    var seen: Set<[UInt8]> = []
    var last: [UInt8] = []
    var isOrdered = true
    for _ in 0..<100_000 {
      var id = [UInt8](repeating: 0, count: 16)
      id.withUnsafeMutableBytes { ids.next(into: $0) }
      seen.insert(id)
      if id.lexicographicallyPrecedes(last) { isOrdered = false }
      last = id
    }
    #expect(seen.count == 100_000)
    #expect(order == .random || isOrdered, "time-ordered ids come in order")
  }

  @Test func everyFigureHasANameOfItsOwn() {
    #expect(Set(Bench.names).count == Bench.names.count)
    // What the project promises by name.
    let promised = [
      "call", "call_batch_256", "sandbox_create", "sandbox_memory", "pool_take", "restore_16_pages",
      "interrupt", "hash_1mib",
      "decode_1mib", "directory_lookup", "put_duplicate", "commit_256", "lookup_1m", "pipeline", "direct",
      "latency", "puts", "soak",
    ]
    for name in promised { #expect(Bench.names.contains(name), "\(name)") }
  }

  @Test func anUnknownFigureIsRefusedByName() {
    let bench = Bench(nub: "/bin/false", only: ["speed"], scratch: NSTemporaryDirectory())
    let error = #expect(throws: BenchError.self) { try bench.run { _ in } }
    #expect(error?.description.contains("\"speed\"") == true)
  }

  @Test func aFigureIsReportedWithEveryKey() throws {
    let bench = Bench(
      nub: "/bin/false", only: ["hash_1mib"], rounds: 1, scale: 0.01, scratch: NSTemporaryDirectory())
    let (results, failures) = try bench.run { _ in }
    #expect(failures.isEmpty)
    let report = try BenchReport(machine: MachineFacts(scratch: NSTemporaryDirectory()), results: results)
      .json()
    let object = try #require(try JSONSerialization.jsonObject(with: report) as? [String: Any])
    #expect(object["machine"] != nil)
    let records = try #require(object["results"] as? [[String: Any]])
    let record = try #require(records.first { $0["name"] as? String == "hash_1mib" })
    #expect(Set(record.keys) == ["name", "value", "unit", "baseline", "ratio", "low", "high"])
    #expect((record["value"] as? Double ?? 0) > 0)
  }

  @Test func aFigureThatFailsIsNamedAndLeftOut() throws {
    // The program that is to be measured ends at once.
    let bench = Bench(
      nub: "/bin/false", only: ["direct"], rounds: 1, scale: 0.01, scratch: NSTemporaryDirectory())
    let (results, failures) = try bench.run { _ in }
    #expect(results.isEmpty)
    #expect(failures == ["direct"])
  }
}
