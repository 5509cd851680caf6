internal import HTTPTypes

/// What every process of nub answers over HTTP: metrics and probes. All of it is in memory, so it never waits.
public struct Probes: Sendable {
  private let registry: MetricsRegistry
  private let health: @Sendable () -> ProcessHealth

  /// - Parameter build: labels of `nub_build_info`.
  public init(
    registry: MetricsRegistry, build: [(String, String)], health: @escaping @Sendable () -> ProcessHealth
  ) {
    self.health = health
    self.registry = registry
    registry.collect { writer in
      writer.gauge("nub_build_info", 1, build)
      ProcessMetrics.write(to: &writer)
      let report = health()
      writer.gauge("nub_ready", report.isReady ? 1 : 0)
      writer.gauge("nub_live", report.isLive ? 1 : 0)
      for phase in ProcessHealth.phases {
        writer.gauge("nub_phase", phase == report.phase ? 1 : 0, [("phase", phase)])
      }
      for part in ProcessHealth.parts {
        writer.gauge("nub_problem", report.problems[part] == nil ? 0 : 1, [("part", part)])
      }
    }
  }

  /// nil for other paths.
  public func answer(_ request: PageRequest) -> PageResponse? {
    switch request.path {
    case "/metrics":
      PageResponse(.ok, type: ExpositionWriter.contentType, body: Array(registry.exposition().utf8))
    case "/livez": probe(\.isLive)
    case "/readyz": probe(\.isReady)
    default: nil
    }
  }

  private func probe(_ isGood: KeyPath<ProcessHealth, Bool>) -> PageResponse {
    let report = health()
    guard !report[keyPath: isGood] else { return .text(.ok, "ok") }
    return .text(.serviceUnavailable, report.reasons.joined(separator: "\n"))
  }
}
