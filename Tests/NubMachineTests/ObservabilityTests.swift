import InMemoryTracing
import MetricsTestKit
import NubABI
import Testing
import Tracing

@testable import NubMachine

@Suite struct ObservabilityTests {
  private func template(
    _ metrics: TestMetrics, _ functions: HostFunctions = HostFunctions()
  ) throws -> SandboxTemplate {
    try MachineMetrics.$replacement.withValue(MachineMetrics(factory: metrics)) {
      try SandboxTemplate(kvm: try GuestImage.builtIn(), hostFunctions: functions)
    }
  }

  private func total(_ metrics: TestMetrics, _ name: String, _ dimensions: [(String, String)] = []) -> Int64?
  {
    (try? metrics.expectCounter(name, dimensions))?.totalValue
  }

  @Test func callsAreTimedAndErrorsCountedByBoundedCodes() throws {
    let metrics = TestMetrics()
    var sandbox = try template(metrics).makeSandbox()
    _ = Support.batch(&sandbox, (0..<10).map { _ in (FunctionID.echo, [1], nil) })
    for status in [7, 7, 255, 256, 0xffff_fe00] as [UInt32] {
      _ = try? sandbox.call(FunctionID.fail, Support.bytes(of: status))
    }
    let timer = try metrics.expectTimer("nub_guest_call_duration_seconds", [])
    #expect(timer.values.count == 15)
    #expect(timer.values.allSatisfy { $0 >= 0 })
    #expect(total(metrics, "nub_guest_errors_total", [("code", "7")]) == 2)
    #expect(total(metrics, "nub_guest_errors_total", [("code", "255")]) == 1)
    #expect(total(metrics, "nub_guest_errors_total", [("code", "other")]) == 2)
  }

  @Test func endsAreCountedByTheirReason() throws {
    let metrics = TestMetrics()
    var sandbox = try template(metrics).makeSandbox()
    _ = try? sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(0)), deadline: .milliseconds(5))
    try sandbox.restore()
    _ = try? sandbox.call(FunctionID.fault, [FaultKind.nullRead.rawValue])
    try sandbox.restore()
    _ = try? sandbox.call(FunctionID.fault, [FaultKind.abort.rawValue])
    #expect(total(metrics, "nub_guest_cancellations_total", [("reason", "deadline")]) == 1)
    #expect(total(metrics, "nub_guest_cancellations_total", [("reason", "cancelled")]) == 0)
    #expect(total(metrics, "nub_guest_faults_total", [("kind", "fault")]) == 1)
    #expect(total(metrics, "nub_guest_faults_total", [("kind", "abort")]) == 1)
  }

  @Test func sandboxesAreCountedFromTheirMakingToTheirEnd() throws {
    let metrics = TestMetrics()
    let template = try template(metrics)
    func counts() throws -> [Double?] {
      try ["in_service", "poisoned"].map {
        try metrics.expectMeter("nub_sandboxes", [("state", $0)]).lastValue
      }
    }
    do {
      var one = try template.makeSandbox()
      let two = try template.makeSandbox()
      #expect(try counts() == [2, 0])
      _ = try? one.call(FunctionID.fault, [0])
      #expect(try counts() == [1, 1])
      try one.restore()
      #expect(try counts() == [2, 0])
      _ = consume two
      #expect(try counts() == [1, 0])
      _ = try? one.call(FunctionID.fault, [0])
    }
    #expect(try counts() == [0, 0])
  }

  private func functions() -> HostFunctions {
    var functions = HostFunctions()
    functions.register(HostFunctionID.capFetch, name: "cap_fetch") { call in
      throw HostError(status: 1, answer: call.argument)
    }
    return functions
  }

  @Test func hostFunctionsAreTimedByName() throws {
    let metrics = TestMetrics()
    var sandbox = try template(metrics, functions()).makeSandbox()
    _ = try? sandbox.call(FunctionID.capWordCount, [UInt8](repeating: 1, count: 32))
    let timer = try metrics.expectTimer("nub_host_function_duration_seconds", [("function", "cap_fetch")])
    #expect(timer.values.count == 1)
    #expect(total(metrics, "nub_host_function_errors_total", [("function", "cap_fetch")]) == 1)

    var without = try template(metrics).makeSandbox()
    _ = try? without.call(FunctionID.capWordCount, [UInt8](repeating: 1, count: 32))
    #expect(total(metrics, "nub_host_function_errors_total", [("function", "unknown")]) == 1)
  }

  @Test func aCallIsASpanAndItsHostFunctionsAreItsChildren() throws {
    let tracer = InMemoryTracer()
    try withTracer(tracer) {
      let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), hostFunctions: functions())
      var sandbox = try template.makeSandbox()
      _ = try? sandbox.call(FunctionID.capWordCount, [UInt8](repeating: 1, count: 32))
      _ = Support.batch(&sandbox, [(FunctionID.echo, [1], nil), (FunctionID.echo, [2], nil)])
      _ = try? sandbox.call(FunctionID.fault, [0])
    }
    let spans = tracer.finishedSpans
    #expect(
      spans.map(\.operationName) == [
        "nub.host_function", "nub.guest.call", "nub.guest.batch", "nub.guest.call",
      ])
    #expect(spans[0].parentSpanID == spans[1].spanID)
    #expect(spans[0].status?.code == .error)
    #expect(spans[1].attributes.get("nub.function") == .int64(258))
    #expect(spans[2].attributes.get("nub.calls") == .int64(2))
    #expect(spans[2].status == nil)
    #expect(spans[3].status?.code == .error)
    #expect(spans[3].errors.count == 1)
  }
}
