internal import Foundation
internal import GRDB

/// Adds up what the windows of a scan say of each minute.
struct ThroughputTally {
  private struct Sum {
    var jobs: Int64 = 0
    var succeeded: Int64 = 0
    var queued: Int64 = 0
    var run: Int64 = 0
    var maximum: Int64 = 0
  }

  private var minutes: [Int64: Sum] = [:]

  /// - Parameter row: minute, jobs, successes, queued and run microseconds, longest run.
  mutating func add(_ row: Row) {
    let minute: Int64 = row.integer(0)
    var sum = minutes[minute, default: Sum()]
    sum.jobs += row.integer(1)
    sum.succeeded += row.integer(2)
    // What a damaged row says may be anything.
    sum.queued &+= row.integer(3)
    sum.run &+= row.integer(4)
    sum.maximum = max(sum.maximum, row.integer(5))
    minutes[minute] = sum
  }

  func rows(dropEarliest: Bool, limit: Int) -> [ThroughputRow] {
    var order = minutes.keys.sorted(by: >)
    if dropEarliest, order.count > 1 { order.removeLast() }
    return order.prefix(limit).compactMap { minute in
      guard let sum = minutes[minute] else { return nil }
      return ThroughputRow(
        minute: Self.text(minute), jobs: sum.jobs, succeeded: sum.succeeded, failed: sum.jobs - sum.succeeded,
        meanQueuedMicroseconds: sum.queued / max(1, sum.jobs),
        meanRunMicroseconds: sum.run / max(1, sum.jobs),
        maximumRunMicroseconds: sum.maximum)
    }
  }

  /// As the view `throughput_by_minute` writes it.
  private static func text(_ minute: Int64) -> String {
    let style = Date.ISO8601FormatStyle(timeZone: .gmt).year().month().day().time(
      includingFractionalSeconds: false)
    let whole = Date(timeIntervalSince1970: Double(minute) * 60).formatted(style)
    return whole.prefix(16) + "Z"
  }
}
