public import NubWorker

/// How a process is, as the probes say it: a worker's or a broker's own words in one form.
public struct ProcessHealth: Sendable, Equatable {
  /// One of ``phases``.
  public var phase: String
  /// What is wrong, by one of ``parts``.
  public var problems: [String: String]
  public var isLive: Bool
  public var isReady: Bool

  public static let phases = ["starting", "serving", "quiet", "draining", "stopped"]
  public static let parts = ["progress", "store", "sandboxes"]

  public init(phase: String, problems: [String: String] = [:], isLive: Bool = true, isReady: Bool) {
    self.phase = phase
    self.problems = problems
    self.isLive = isLive
    self.isReady = isReady
  }

  public init(_ report: Health.Report) {
    phase = report.phase.rawValue
    isLive = report.isLive
    isReady = report.isReady
    problems = [:]
    if !report.stuck.isEmpty { problems["progress"] = "no progress: \(report.stuck.joined(separator: ", "))" }
    if let refusal = report.storeRefusal { problems["store"] = refusal }
    if let problem = report.sandboxProblem { problems["sandboxes"] = problem }
  }

  /// Why it is not as it should be, a line each.
  public var reasons: [String] {
    (phase == "serving" ? [] : [phase])
      + Self.parts.compactMap { part in problems[part].map { "\(part): \($0)" } }
  }
}
