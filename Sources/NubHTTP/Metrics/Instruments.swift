internal import CoreMetrics
internal import Synchronization

// What is counted, as atomics: whoever counts takes no lock and waits for nobody. A scrape reads them one after the other, so its
// numbers may be a few events apart, as with any exporter.

/// A count that only grows.
final class CounterInstrument: CounterHandler, FloatingPointCounterHandler {
  private let count = Atomic<Int64>(0)
  /// A fraction's bits; only floating-point counters use it.
  private let fraction = AtomicDouble()

  func increment(by amount: Int64) {
    if amount > 0 { count.wrappingAdd(amount, ordering: .relaxed) }
  }

  func increment(by amount: Double) {
    if amount > 0, amount.isFinite { fraction.add(amount) }
  }

  func reset() {
    count.store(0, ordering: .relaxed)
    fraction.value = 0
  }

  var value: Double { Double(count.load(ordering: .relaxed)) + fraction.value }
}

/// A value that goes up and down.
final class GaugeInstrument: RecorderHandler, MeterHandler {
  private let current = AtomicDouble()

  func record(_ value: Int64) { current.value = Double(value) }
  func record(_ value: Double) { current.value = value }
  func set(_ value: Int64) { current.value = Double(value) }
  func set(_ value: Double) { current.value = value }
  func increment(by amount: Double) { current.add(amount) }
  func decrement(by amount: Double) { current.add(-amount) }

  var value: Double { current.value }
}

/// How often values up to each of a fixed table of bounds came.
final class HistogramInstrument: TimerHandler, RecorderHandler {
  /// Most of these tables' lengths; the last place is for what is over all bounds.
  static let places = 24

  /// Ascending, at most ``places`` - 1 of them.
  let bounds: [UInt64]
  private let buckets: InlineArray<24, Atomic<UInt64>>
  private let sum = Atomic<UInt64>(0)

  init(bounds: [UInt64]) {
    self.bounds = Array(bounds.prefix(Self.places - 1))
    buckets = InlineArray { _ in Atomic(0) }
  }

  func recordNanoseconds(_ duration: Int64) { record(duration) }

  func record(_ value: Int64) {
    let value = UInt64(clamping: value)
    // Short ones come most often, so the search begins there.
    var index = 0
    while index < bounds.count, value > bounds[index] { index += 1 }
    buckets[index].wrappingAdd(1, ordering: .relaxed)
    sum.wrappingAdd(value, ordering: .relaxed)
  }

  func record(_ value: Double) {
    record(Int64(exactly: value.rounded()) ?? (value > 0 ? .max : 0))
  }

  /// Counts up to each bound and in all, and the sum.
  var snapshot: (cumulative: [UInt64], total: UInt64, sum: UInt64) {
    var cumulative: [UInt64] = []
    var total: UInt64 = 0
    for index in bounds.indices {
      total += buckets[index].load(ordering: .relaxed)
      cumulative.append(total)
    }
    total += buckets[bounds.count].load(ordering: .relaxed)
    return (cumulative, total, sum.load(ordering: .relaxed))
  }
}

/// A Double that threads may change at once.
struct AtomicDouble: ~Copyable {
  private let bits = Atomic<UInt64>(0)

  var value: Double {
    get { Double(bitPattern: bits.load(ordering: .relaxed)) }
    nonmutating set { bits.store(newValue.bitPattern, ordering: .relaxed) }
  }

  func add(_ amount: Double) {
    var old = bits.load(ordering: .relaxed)
    while true {
      let result = bits.weakCompareExchange(
        expected: old, desired: (Double(bitPattern: old) + amount).bitPattern, ordering: .relaxed)
      if result.exchanged { return }
      old = result.original
    }
  }
}
