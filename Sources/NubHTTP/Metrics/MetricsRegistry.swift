public import CoreMetrics
internal import Synchronization

/// A backend of swift-metrics for Prometheus: counters, gauges and histograms with fixed buckets, read by `/metrics`.
///
/// Asking twice for the same name and labels gives the same instrument. Names and label values are bounded in number and length, so
/// that no one who gets to choose a label's value can fill memory: beyond the bound a name's further series share one, whose
/// values are `other`.
public final class MetricsRegistry: MetricsFactory, Sendable {
  /// Series of one name, and names.
  public static let maximumSeries = 512
  public static let maximumNames = 512
  static let maximumLabelBytes = 128

  private enum Instrument: Sendable {
    case counter(CounterInstrument)
    case gauge(GaugeInstrument)
    case duration(HistogramInstrument)
    case distribution(HistogramInstrument)
  }

  private struct Labels: Hashable {
    var pairs: [[String]]
  }

  private struct State {
    var families: [String: [Labels: Instrument]] = [:]
    var refused: UInt64 = 0
    var collectors: [@Sendable (inout ExpositionWriter) -> Void] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// Adds what is looked up at each scrape instead of being counted.
  public func collect(_ collector: @escaping @Sendable (inout ExpositionWriter) -> Void) {
    state.withLock { $0.collectors.append(collector) }
  }

  /// Everything, as Prometheus reads it.
  public func exposition() -> String {
    let (families, refused, collectors) = state.withLock { ($0.families, $0.refused, $0.collectors) }
    var writer = ExpositionWriter()
    for (name, series) in families {
      let order = series.sorted {
        $0.key.pairs.lexicographicallyPrecedes($1.key.pairs) { $0.lexicographicallyPrecedes($1) }
      }
      for (key, instrument) in order {
        let labels = key.pairs.map { ($0[0], $0[1]) }
        switch instrument {
        case .counter(let counter): writer.counter(name, counter.value, labels)
        case .gauge(let gauge): writer.gauge(name, gauge.value, labels)
        case .duration(let histogram): writer.histogram(name, labels, histogram, divisor: 1e9)
        case .distribution(let histogram): writer.histogram(name, labels, histogram, divisor: 1)
        }
      }
    }
    writer.counter("nub_metrics_series_refused_total", refused)
    for collector in collectors { collector(&writer) }
    return writer.text
  }

  private func instrument(
    _ name: String, _ dimensions: [(String, String)], _ make: () -> Instrument
  ) -> Instrument {
    var labels = Labels(pairs: dimensions.map { [$0.0, Self.bounded($0.1)] }.sorted { $0[0] < $1[0] })
    return state.withLock { state in
      if let known = state.families[name]?[labels] { return known }
      guard state.families[name] != nil || state.families.count < Self.maximumNames else {
        state.refused += 1
        // It counts for whoever holds it, and nobody sees it.
        return make()
      }
      if state.families[name, default: [:]].count >= Self.maximumSeries {
        state.refused += 1
        labels = Labels(pairs: labels.pairs.map { [$0[0], "other"] })
        if let other = state.families[name]?[labels] { return other }
      }
      let made = make()
      state.families[name, default: [:]][labels] = made
      return made
    }
  }

  private static func bounded(_ value: String) -> String {
    guard value.utf8.count > maximumLabelBytes else { return value }
    return String(decoding: value.utf8.prefix(maximumLabelBytes), as: UTF8.self)
  }

  // MARK: MetricsFactory

  // A name that was first used for one kind and then for another is a mistake of the program; it gets an instrument that works and
  // that nobody sees.

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    counter(label, dimensions)
  }

  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler { counter(label, dimensions) }

  private func counter(_ label: String, _ dimensions: [(String, String)]) -> CounterInstrument {
    if case .counter(let counter) = instrument(label, dimensions, { .counter(CounterInstrument()) }) {
      return counter
    }
    return CounterInstrument()
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    gauge(label, dimensions)
  }

  private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeInstrument {
    if case .gauge(let gauge) = instrument(label, dimensions, { .gauge(GaugeInstrument()) }) { return gauge }
    return GaugeInstrument()
  }

  public func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    guard aggregate else { return gauge(label, dimensions) }
    let bounds = MetricCatalog.entry(label)?.bounds ?? MetricCatalog.counts
    let made = instrument(label, dimensions) { .distribution(HistogramInstrument(bounds: bounds)) }
    if case .distribution(let histogram) = made { return histogram }
    return HistogramInstrument(bounds: bounds)
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    let bounds = MetricCatalog.entry(label)?.bounds ?? MetricCatalog.durations
    let made = instrument(label, dimensions) { .duration(HistogramInstrument(bounds: bounds)) }
    if case .duration(let histogram) = made { return histogram }
    return HistogramInstrument(bounds: bounds)
  }

  // Series stay: Prometheus would take one that vanishes and comes back for a restart. Their number is bounded.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}
