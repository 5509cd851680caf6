import NubABI
import Testing

@testable import NubMachine

/// The engine without isolation.
@Suite struct InProcessTests {
  private func sandbox() throws -> Sandbox {
    try SandboxTemplate(inProcess: SandboxConfiguration()).makeSandbox()
  }

  @Test func callsKeepStateUntilARestore() throws {
    var sandbox = try sandbox()
    // A sandbox cannot be copied, which #expect would do to look into it.
    var isPristine = [sandbox.isPristine]
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [2])
    isPristine.append(sandbox.isPristine)
    try sandbox.restore()
    isPristine.append(sandbox.isPristine)
    #expect(isPristine == [true, false, true])
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
  }

  @Test func aLateCallIsFoundLateWhenItEndsAndTheNextOneRuns() throws {
    var sandbox = try sandbox()
    let code = Support.code {
      _ = try sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(20_000)), deadline: .milliseconds(1))
    }
    #expect(code == .deadlineExceeded)
    #expect(try sandbox.call(FunctionID.echo, [7], deadline: .seconds(600)) == [7])
  }
}
