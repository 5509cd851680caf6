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
/// | `nub_sandboxes` | meter | `state`: `in_service`, `poisoned` |
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
  private let inService: Meter
  private let poisoned: Meter
  private let errors = Mutex<[UInt32: Counter]>([:])
  private let hostFunctions = Mutex<[String: HostFunction]>([:])
  private let sandboxes = Mutex<(inService: Int, poisoned: Int)>((0, 0))

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
    inService = Meter(label: "nub_sandboxes", dimensions: [("state", "in_service")], factory: factory)
    poisoned = Meter(label: "nub_sandboxes", dimensions: [("state", "poisoned")], factory: factory)
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
  func failure(_ code: MachineError.Code) {
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

  /// Sandboxes came, went, or changed.
  func sandboxes(inService first: Int, poisoned second: Int) {
    // Set under the lock, so that the last value that a meter gets is the last one that there was.
    sandboxes.withLock { count in
      count.inService += first
      count.poisoned += second
      inService.set(count.inService)
      poisoned.set(count.poisoned)
    }
  }
}

/// One sandbox's share of `nub_sandboxes`, from its making to its end.
struct SandboxCensus: ~Copyable {
  private let metrics: MachineMetrics
  private var isPoisoned = false

  init(_ metrics: MachineMetrics) {
    self.metrics = metrics
    metrics.sandboxes(inService: 1, poisoned: 0)
  }

  mutating func set(isPoisoned new: Bool) {
    guard new != isPoisoned else { return }
    isPoisoned = new
    metrics.sandboxes(inService: new ? -1 : 1, poisoned: new ? 1 : -1)
  }

  deinit {
    metrics.sandboxes(inService: isPoisoned ? 0 : -1, poisoned: isPoisoned ? -1 : 0)
  }
}
