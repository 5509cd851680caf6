internal import Synchronization

/// How much was done in each of the last seconds, in memory: ten minutes.
final class ThroughputRing: Sendable {
  struct Sample: Sendable, Equatable {
    var succeeded: UInt64 = 0
    var failed: UInt64 = 0
  }

  private struct State {
    var samples: [Sample] = []
    var last: Sample?
  }

  static let seconds = 600
  private let state = Mutex(State())

  /// Takes the totals so far; once a second.
  func add(succeeded: UInt64, failed: UInt64) {
    state.withLock { state in
      defer { state.last = Sample(succeeded: succeeded, failed: failed) }
      guard let last = state.last else { return }
      state.samples.append(
        Sample(
          succeeded: succeeded >= last.succeeded ? succeeded - last.succeeded : 0,
          failed: failed >= last.failed ? failed - last.failed : 0))
      if state.samples.count > Self.seconds { state.samples.removeFirst(state.samples.count - Self.seconds) }
    }
  }

  /// The sums of `width` seconds each, oldest first; places from before the start are nil.
  func bins(of width: Int) -> [Sample?] {
    let samples = state.withLock { $0.samples }
    let count = Self.seconds / width
    var bins = [Sample?](repeating: nil, count: count)
    for (age, sample) in samples.reversed().enumerated() {
      let bin = count - 1 - age / width
      guard bin >= 0 else { break }
      var sum = bins[bin] ?? Sample()
      sum.succeeded += sample.succeeded
      sum.failed += sample.failed
      bins[bin] = sum
    }
    return bins
  }

  /// Jobs in each second of late, over the last `seconds`; nil before there is anything to tell.
  func rate(over seconds: Int) -> Double? {
    let samples = state.withLock { $0.samples.suffix(seconds) }
    guard !samples.isEmpty else { return nil }
    return Double(samples.reduce(0) { $0 + $1.succeeded + $1.failed }) / Double(samples.count)
  }

  var failedLately: UInt64 { state.withLock { $0.samples.reduce(0) { $0 + $1.failed } } }
}
