public import Foundation

/// A run of `nub bench`: rounds of each figure in turn with its baseline, medians, and a report.
public struct Bench: Sendable {
  public var nub: String
  public var baselines: String?
  public var only: [String]
  public var rounds: Int
  public var scale: Double
  public var scratch: String

  /// - Parameters:
  ///   - nub: the program whose worker is measured.
  ///   - baselines: the folder of the C programs that `ops/bench` builds; nil for figures without ratios.
  ///   - only: names of figures; empty for all.
  ///   - rounds: how often each figure and its baseline are run in turn.
  ///   - scale: multiplies the work of a round.
  ///   - scratch: a folder in which stores may be made; it decides which disk is measured.
  public init(
    nub: String, baselines: String? = nil, only: [String] = [], rounds: Int = 5, scale: Double = 1,
    scratch: String
  ) {
    self.nub = nub
    self.baselines = baselines
    self.only = only
    self.rounds = rounds
    self.scale = scale
    self.scratch = scratch
  }

  static var scenarios: [Scenario] {
    MachineFigures.all + CapFigures.all + StoreFigures.all + LargeStoreFigures.all + WayFigures.all
  }

  /// Every name that ``only`` may have.
  public static var names: [String] {
    scenarios.flatMap { scenario in
      scenario.measures.map(\.name)
        + (scenario.measures.contains { $0.name == scenario.name } ? [] : [scenario.name])
    }
  }

  /// Measures. A figure that fails is reported through `progress` and left out; the others go on.
  ///
  /// - Parameter progress: gets lines for a person, while it runs.
  /// - Returns: the figures, and the names of those that failed.
  /// - Throws: ``BenchError`` for an unknown name or an unusable scratch folder.
  public func run(progress: (String) -> Void) throws(BenchError) -> (
    results: [BenchResult], failures: [String]
  ) {
    for name in only where !Bench.scenarios.contains(where: { $0.isNamed(name) }) {
      throw BenchError(
        .usage, "there is no figure \"\(name)\"; there are: \(Bench.names.joined(separator: ", "))")
    }
    var results: [BenchResult] = []
    var failures: [String] = []
    for scenario in Bench.scenarios where only.isEmpty || only.contains(where: { scenario.isNamed($0) }) {
      // A folder each: a figure leaves nothing behind for the next.
      let context = try BenchContext(nub: nub, baselines: baselines, scratch: scratch, scale: scale)
      do throws(BenchError) {
        let measured = try measure(scenario, context, progress)
        results += measured.filter { result in
          only.isEmpty || only.contains(scenario.name) || only.contains(result.name)
        }
      } catch {
        failures.append(scenario.name)
        progress("\(scenario.name): \(error)")
      }
    }
    return (results, failures)
  }

  private func measure(
    _ scenario: Scenario, _ context: borrowing BenchContext, _ progress: (String) -> Void
  ) throws(BenchError) -> [BenchResult] {
    let rounds = max(1, min(scenario.rounds ?? rounds, rounds))
    let contest = try scenario.prepare(context)
    var values = [[Double]](repeating: [], count: scenario.measures.count)
    var baselines = values
    for round in 0..<rounds {
      progress("\(scenario.name): round \(round + 1) of \(rounds)")
      // Who goes first changes from round to round, so that what drifts hits both alike.
      if round % 2 == 0 { collect(try contest.figure(), &values) }
      if let baseline = contest.baseline { collect(try baseline(), &baselines) }
      if round % 2 == 1 { collect(try contest.figure(), &values) }
    }
    return scenario.measures.enumerated().compactMap { index, measure in
      guard let low = values[index].min(), let high = values[index].max() else { return nil }
      let value = median(values[index])
      let baseline = baselines[index].isEmpty ? nil : median(baselines[index])
      let ratio = baseline.flatMap { $0 > 0 ? value / $0 : nil }
      return BenchResult(
        name: measure.name, value: value, unit: measure.unit, baseline: baseline, ratio: ratio, low: low,
        high: high)
    }
  }

  private func collect(_ numbers: [Double?], _ into: inout [[Double]]) {
    for (index, number) in numbers.enumerated() where index < into.count {
      if let number, number.isFinite { into[index].append(number) }
    }
  }
}

/// What a run reports.
public struct BenchReport: Sendable, Encodable {
  public let machine: MachineFacts
  public let results: [BenchResult]

  public init(machine: MachineFacts, results: [BenchResult]) {
    self.machine = machine
    self.results = results
  }

  /// One JSON object.
  public func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }
}
