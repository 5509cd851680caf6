/// One measured number, and what it is held against.
public struct Figure: Sendable {
  public var name: String
  public var value: Double
  public var unit: String
  /// The same work done by the least code in C, measured in the same run.
  public var baseline: Double?
  /// What it should be at most: of ``ratio`` where there is a baseline, else of ``value``.
  public var goal: Double?

  public init(_ name: String, _ value: Double, _ unit: String, baseline: Double? = nil, goal: Double? = nil) {
    self.name = name
    self.value = value
    self.unit = unit
    self.baseline = baseline
    self.goal = goal
  }

  public var ratio: Double? { baseline.map { value / $0 } }
  public var meetsGoal: Bool? { goal.map { (ratio ?? value) <= $0 } }
}
