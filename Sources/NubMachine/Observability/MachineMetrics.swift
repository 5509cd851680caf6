internal import Metrics
import Synchronization

/// What NubMachine counts and times, through swift-metrics. Created once, at first use, so bootstrap a backend before
/// the first sandbox is made.
///
/// | name | kind | labels |
/// |---|---|---|
/// | `nub_guest_call_duration_seconds` | timer | |
/// | `nub_guest_errors_total` | counter | `code`: 0 to 255, or `other` |
/// | `nub_guest_cancellations_total` | counter | `reason`: `cancelled`, `deadline` |
/// | `nub_guest_faults_total` | counter | `kind`: `fault`, `abort`, `protocol` |
/// | `nub_sandboxes` | meter | `state`: `in_service` (with a lane, or whoever made it), `warm`, `idle`, `poisoned` |
/// | `nub_sandboxes_created_total` | counter | |
/// | `nub_sandboxes_restored_total` | counter | |
/// | `nub_sandbox_failures_total` | counter | | none could be made |
/// | `nub_host_function_duration_seconds` | timer | `function`: a registered name, or `unknown` |
/// | `nub_host_function_errors_total` | counter | `function` |
///
/// No label's value comes from a guest without being bounded.
final class MachineMetrics: Sendable {
  private static let shared = MachineMetrics(factory: MetricsSystem.factory)
  /// Set by tests, which look at a backend of their own.
  @TaskLocal static var replacement: MachineMetrics?
  /// What a template that is made now reports to, with all its sandboxes.
  static var current: MachineMetrics { replacement ?? shared }

  struct HostFunction: Sendable {
    let duration: Metrics.Timer
    let errors: Counter
  }

  /// False where nobody listens: then nothing is measured either.
  let isEnabled: Bool
  private let factory: any MetricsFactory
  private let callDuration: Metrics.Timer
  private let cancelled: Counter
  private let expired: Counter
  private let faults: Counter
  private let aborts: Counter
  private let violations: Counter
  private let created: Counter
  private let restored: Counter
  private let creationFailures: Counter
  /// By ``SandboxStanding``.
  private let standings: [Meter]
  private let errors = Mutex<[UInt32: Counter]>([:])
  private let hostFunctions = Mutex<[String: HostFunction]>([:])
  private let sandboxes = Mutex<[Int]>([Int](repeating: 0, count: SandboxStanding.allCases.count))

  init(factory: any MetricsFactory) {
    self.factory = factory
    isEnabled = !(factory is NOOPMetricsHandler)
    func counter(_ label: String, _ name: String, _ value: String) -> Counter {
      Counter(label: label, dimensions: [(name, value)], factory: factory)
    }
    callDuration = Metrics.Timer(label: "nub_guest_call_duration_seconds", dimensions: [], factory: factory)
    cancelled = counter("nub_guest_cancellations_total", "reason", "cancelled")
    expired = counter("nub_guest_cancellations_total", "reason", "deadline")
    faults = counter("nub_guest_faults_total", "kind", "fault")
    aborts = counter("nub_guest_faults_total", "kind", "abort")
    violations = counter("nub_guest_faults_total", "kind", "protocol")
    created = Counter(label: "nub_sandboxes_created_total", dimensions: [], factory: factory)
    restored = Counter(label: "nub_sandboxes_restored_total", dimensions: [], factory: factory)
    creationFailures = Counter(label: "nub_sandbox_failures_total", dimensions: [], factory: factory)
    standings = SandboxStanding.allCases.map {
      Meter(label: "nub_sandboxes", dimensions: [("state", $0.label)], factory: factory)
    }
    // A state that no sandbox has been in yet is zero, not unknown.
    for meter in standings { meter.set(0) }
  }

  /// A call has a result.
  func call(status: UInt32, nanoseconds: UInt64) {
    callDuration.recordNanoseconds(Int64(clamping: nanoseconds))
    if status != 0 { error(status) }
  }

  private func error(_ status: UInt32) {
    // 256 stands for every other one.
    let code = min(status, 256)
    let counter = errors.withLock { known in
      if let counter = known[code] { return counter }
      let counter = Counter(
        label: "nub_guest_errors_total", dimensions: [("code", code < 256 ? "\(code)" : "other")],
        factory: factory)
      known[code] = counter
      return counter
    }
    counter.increment()
  }

  /// An entry has failed.
  func failure(_ code: MachineError.Code, nanoseconds: UInt64) {
    callDuration.recordNanoseconds(Int64(clamping: nanoseconds))
    switch code {
    case .cancelled: cancelled.increment()
    case .deadlineExceeded: expired.increment()
    case .fault: faults.increment()
    case .abort: aborts.increment()
    case .protocolViolation: violations.increment()
    case .guestError, .tooLarge, .poisoned, .capInvalid, .hashMismatch, .imageInvalid, .configurationInvalid,
      .kvmUnavailable, .system:
      break
    }
  }

  /// A host function has ended.
  /// - Parameter name: nil for an id that no function has.
  func hostFunction(_ name: String?, status: UInt32, nanoseconds: UInt64) {
    let name = name ?? "unknown"
    let metrics = hostFunctions.withLock { known in
      if let metrics = known[name] { return metrics }
      let metrics = HostFunction(
        duration: Metrics.Timer(
          label: "nub_host_function_duration_seconds", dimensions: [("function", name)], factory: factory),
        errors: Counter(
          label: "nub_host_function_errors_total", dimensions: [("function", name)], factory: factory))
      known[name] = metrics
      return metrics
    }
    metrics.duration.recordNanoseconds(Int64(clamping: nanoseconds))
    if status != 0 { metrics.errors.increment() }
  }

  /// A sandbox is ready.
  func sandboxCreated() { created.increment() }
  /// A sandbox is as good as new again.
  func sandboxRestored() { restored.increment() }
  /// A pool could not make a sandbox.
  func creationFailed() { creationFailures.increment() }

  /// A sandbox came, went, or changed.
  func sandbox(from old: SandboxStanding?, to new: SandboxStanding?) {
    // Set under the lock, so that the last value that a meter gets is the last one that there was.
    sandboxes.withLock { counts in
      for (standing, step) in [(old, -1), (new, 1)] {
        guard let index = standing?.rawValue else { continue }
        counts[index] += step
        standings[index].set(counts[index])
      }
    }
  }
}

/// What a sandbox is there for at the moment.
enum SandboxStanding: Int, CaseIterable, Sendable {
  /// With a lane, or with whoever made it.
  case inService
  /// In a pool, nobody's.
  case warm
  /// In a pool, with the state of the tenant that used it last.
  case idle
  case poisoned

  var label: String {
    switch self {
    case .inService: "in_service"
    case .warm: "warm"
    case .idle: "idle"
    case .poisoned: "poisoned"
    }
  }
}

/// One sandbox's share of `nub_sandboxes`, from its making to its end.
struct SandboxCensus: ~Copyable {
  private let metrics: MachineMetrics
  private(set) var standing = SandboxStanding.inService

  init(_ metrics: MachineMetrics) {
    self.metrics = metrics
    metrics.sandbox(from: nil, to: .inService)
  }

  mutating func set(_ new: SandboxStanding) {
    guard new != standing else { return }
    metrics.sandbox(from: standing, to: new)
    standing = new
  }

  deinit { metrics.sandbox(from: standing, to: nil) }
}
