import NubABI
import Testing

@testable import NubMachine

/// Everything that ring 3 must not do. Which fault it is, or whether it is none, differs between hypervisors; that the
/// guest gets nothing by it does not.
@Suite(.needsKVM) struct HostileInstructionTests {
  @Test(arguments: HostileGuest.instructions)
  func whatARingThreeGuestMustNotDoIsContained(number: Int) throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let processor = try RestoreTests.processorState(sandbox)
    _ = try sandbox.call(FunctionID.counter)
    let outcome = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], nil),
        (HostileGuest.instruction, HostileGuest.words(UInt64(number)), .milliseconds(500)),
        (FunctionID.echo, [2], nil),
      ])
    #expect(outcome[0].bytes == [1])
    switch outcome[1] {
    case .returned:
      // Allowed, or without effect: the guest is as it was.
      #expect(outcome[2].bytes == [2])
    case .failed(let error):
      switch error.code {
      case .fault, .protocolViolation, .deadlineExceeded: break
      default: Issue.record("instruction \(number): \(error)")
      }
      guard case .notRun = outcome[2] else {
        Issue.record("the call behind instruction \(number) ran: \(outcome[2])")
        return
      }
    default: Issue.record("instruction \(number): \(outcome[1])")
    }
    // Whatever it was, a restore brings the guest back.
    try sandbox.restore()
    #expect(try RestoreTests.processorState(sandbox) == processor)
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    #expect(try sandbox.call(FunctionID.echo, [7]) == [7])
  }
}
