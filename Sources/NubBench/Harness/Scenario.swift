/// One number that a scenario yields in each round.
struct Measure: Sendable {
  let name: String
  let unit: String
  /// What the baseline is, for the table; nil where there is none.
  let against: String?

  init(_ name: String, _ unit: String, against: String? = nil) {
    self.name = name
    self.unit = unit
    self.against = against
  }
}

/// Both sides of a scenario, ready to be run in turn. Each run yields one number per ``Scenario/measures``, in their order; nil where
/// that side has no such number.
struct Contest {
  var figure: () throws(BenchError) -> [Double?]
  var baseline: (() throws(BenchError) -> [Double?])?
}

/// Something that is measured, round after round, in turn with its baseline.
struct Scenario: Sendable {
  let name: String
  let measures: [Measure]
  /// How many rounds there are when nobody says otherwise; nil for the usual number.
  let rounds: Int?
  /// Builds what the rounds share. What it makes lives until the last round is over.
  let prepare: @Sendable (borrowing BenchContext) throws(BenchError) -> Contest

  init(
    _ name: String, _ measures: [Measure], rounds: Int? = nil,
    prepare: @escaping @Sendable (borrowing BenchContext) throws(BenchError) -> Contest
  ) {
    self.name = name
    self.measures = measures
    self.rounds = rounds
    self.prepare = prepare
  }

  /// A scenario with one number of its own name.
  init(
    _ name: String, _ unit: String, against: String? = nil,
    prepare: @escaping @Sendable (borrowing BenchContext) throws(BenchError) -> Contest
  ) {
    self.init(name, [Measure(name, unit, against: against)], prepare: prepare)
  }

  /// Whether `--only wanted` means this one: by the scenario's name or by that of one of its numbers.
  func isNamed(_ wanted: String) -> Bool {
    name == wanted || measures.contains { $0.name == wanted }
  }
}

/// A figure as it is reported: medians of the rounds, and the span of the figure's rounds.
public struct BenchResult: Sendable, Encodable {
  public let name: String
  public let value: Double
  public let unit: String
  public let baseline: Double?
  /// ``value`` over ``baseline``.
  public let ratio: Double?
  public let low: Double
  public let high: Double

  private enum Key: String, CodingKey { case name, value, unit, baseline, ratio, low, high }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(name, forKey: .name)
    try container.encode(value, forKey: .value)
    try container.encode(unit, forKey: .unit)
    // Readers get every key in every record: null where there is no baseline.
    try container.encode(baseline, forKey: .baseline)
    try container.encode(ratio, forKey: .ratio)
    try container.encode(low, forKey: .low)
    try container.encode(high, forKey: .high)
  }
}
