import HTTPTypes
import NubHTTP
import Synchronization
import Testing

@Suite struct HealthTests {
  /// What the probes are told.
  final class Source: Sendable {
    let health = Mutex(ProcessHealth(phase: "starting", isReady: false))
    func set(_ new: ProcessHealth) { health.withLock { $0 = new } }
  }

  let source = Source()
  let probes: Probes

  init() {
    let source = source
    probes = Probes(registry: MetricsRegistry(), build: [("version", "1")]) { source.health.withLock { $0 } }
  }

  func ask(_ path: String) -> (Int, String)? {
    probes.answer(PageRequest(path: path)).map {
      ($0.status.code, String(decoding: $0.body, as: UTF8.self))
    }
  }

  @Test func probesSayWhyNot() throws {
    #expect(try #require(ask("/readyz")) == (503, "starting\n"))
    #expect(try #require(ask("/livez")) == (200, "ok\n"))
    source.set(ProcessHealth(phase: "serving", isReady: true))
    #expect(try #require(ask("/readyz")) == (200, "ok\n"))
    source.set(
      ProcessHealth(
        phase: "quiet", problems: ["progress": "lane 1", "sandboxes": "no /dev/kvm"], isLive: false,
        isReady: false))
    #expect(try #require(ask("/livez")) == (503, "quiet\nprogress: lane 1\nsandboxes: no /dev/kvm\n"))
    #expect(ask("/other") == nil)
  }

  @Test func aScrapeTellsHealthBuildAndProcess() throws {
    source.set(ProcessHealth(phase: "serving", isReady: true))
    let text = try #require(ask("/metrics")).1
    for line in [
      "nub_ready 1", "nub_live 1", "nub_phase{phase=\"serving\"} 1", "nub_problem{part=\"store\"} 0",
    ] {
      #expect(text.contains("\n\(line)\n"))
    }
    for name in ["resident_memory_bytes", "open_fds", "cpu_seconds_total", "start_time_seconds", "threads"] {
      #expect(text.contains("\nprocess_\(name) "))
    }
    #expect(text.contains("nub_build_info{version=\"1\"} 1"))
  }
}
