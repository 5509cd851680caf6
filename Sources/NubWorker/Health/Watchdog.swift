internal import Logging
internal import Metrics

/// The thread that asserts progress: it looks at the pulses of the others, says in ``Health`` who is stuck, and tells the
/// supervisor that all is well only while it is.
///
/// A thread of its own, since what it watches for may have taken hold of everybody else.
final class Watchdog: Sendable {
  private static let tickMilliseconds: UInt64 = 500

  private let stop = Monitor(false)

  /// - Parameters:
  ///   - patience: how long a thread with work may make no step, milliseconds.
  ///   - longestJob: what a lane may take beyond that for one step; nil: lanes are not watched, because somebody debugs in them.
  func run(
    _ pulses: Pulses, health: Health, patience: UInt64, longestJob: UInt64?, logger: Logger,
    onTick: (@Sendable (Health.Report) -> Void)?
  ) {
    var parts = [
      ProgressJudge.Part(name: "doors", patience: patience),
      ProgressJudge.Part(name: "commits", patience: patience),
      ProgressJudge.Part(name: "relay", patience: patience),
    ]
    if let longestJob {
      for index in pulses.lanes.indices {
        parts.append(ProgressJudge.Part(name: "lane \(index)", patience: patience + longestJob))
      }
    }
    var judge = ProgressJudge(parts: parts, tick: 2 * Self.tickMilliseconds)
    let gauge = Gauge(label: "nub_stuck_threads")
    var before: [String] = []
    var last = Monotonic.now
    while true {
      let now = Monotonic.now
      let readings =
        [pulses.door.reading, pulses.committer.reading, pulses.relay.reading] + pulses.lanes.map(\.reading)
      let stuck = judge.look(readings, elapsed: now.microseconds(since: last) / 1_000)
      last = now
      if stuck != before {
        health.update { $0.stuck = stuck }
        if stuck.isEmpty {
          logger.notice("all threads make progress again")
        } else {
          logger.critical(
            "no progress", metadata: ["threads": "\(stuck.joined(separator: ", "))", "ms": "\(patience)"])
        }
        before = stuck
      }
      gauge.record(stuck.count)
      onTick?(health.report)
      let isOver: Bool? = stop.wait(until: now + Milliseconds(Self.tickMilliseconds)) { $0 ? true : nil }
      if isOver == true { return }
    }
  }

  func end() {
    stop.withLock { $0 = true }
    stop.broadcast()
  }
}
