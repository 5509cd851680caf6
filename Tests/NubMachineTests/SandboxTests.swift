import NubABI
import Testing

@testable import NubMachine

@Suite(.needsKVM) struct SandboxTests {
  @Test func echoReturnsItsPayload() throws {
    var sandbox = try Support.sandbox()
    #expect(try sandbox.call(FunctionID.echo, [1, 2, 3]) == [1, 2, 3])
    #expect(try sandbox.call(FunctionID.echo, []) == [])
    let large = Support.bytes(count: 16 << 20)
    let answer = try sandbox.call(FunctionID.echo, large)
    #expect(Support.isSame(answer, large))
  }

  @Test func stateIsKeptBetweenCalls() throws {
    var sandbox = try Support.sandbox()
    for expected in 1...5 { #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [UInt64(expected)]) }
  }

  @Test func aBatchDeliversEachResultInOrder() throws {
    var sandbox = try Support.sandbox()
    let payloads = (0..<256).map { Support.bytes(count: $0 * 3, seed: UInt8($0 & 0xff)) }
    let results = Support.batch(&sandbox, payloads.map { (FunctionID.echo, $0, nil) })
    #expect(results.count == 256)
    for (payload, result) in zip(payloads, results) { #expect(result.bytes == payload) }
  }

  @Test func aBatchLargerThanTheResultAreaIsDrained() throws {
    var sandbox = try Support.sandbox()
    let payload = Support.bytes(count: 1 << 20)
    let results = Support.batch(&sandbox, (0..<40).map { _ in (FunctionID.echo, payload, nil) })
    #expect(results.count == 40)
    for result in results { #expect(Support.isSame(result.bytes, payload)) }
  }

  @Test func anUnknownFunctionIsAGuestError() throws {
    var sandbox = try Support.sandbox()
    #expect(Support.code { _ = try sandbox.call(9999) } == .guestError(status: GuestStatus.unknownFunction))
    #expect(try sandbox.call(FunctionID.echo, [7]) == [7])
  }

  @Test func aGuestErrorCarriesStatusAndMessageAndDoesNotPoison() throws {
    var sandbox = try Support.sandbox()
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(FunctionID.fail, [7, 0, 0, 0] + Array("no such key".utf8))
    }
    #expect(error?.code == .guestError(status: 7))
    #expect(error?.message == "no such key")
    let isPoisoned = sandbox.isPoisoned
    #expect(!isPoisoned)
  }

  @Test func aPayloadOverTheLimitIsRefusedBeforeTheGuestSeesIt() throws {
    var sandbox = try Support.sandbox()
    let large = [UInt8](repeating: 0, count: (16 << 20) + (64 << 10) + 1)
    #expect(Support.code { _ = try sandbox.call(FunctionID.echo, large) } == .tooLarge)
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test(
    arguments: [
      (FaultKind.invalidOpcode, 6 as UInt8), (.nullRead, 14), (.nullWrite, 14), (.writeToCode, 14),
      (.executeData, 14),
      (.stackOverflow, 14), (.divideByZero, 0), (.privilegedInstruction, 13), (.deniedPort, 13),
    ] as [(FaultKind, UInt8)])
  func aFaultIsReportedAndPoisons(kind: FaultKind, vector: UInt8) throws {
    var sandbox = try Support.sandbox()
    let error = #expect(throws: MachineError.self) { try sandbox.call(FunctionID.fault, [kind.rawValue]) }
    guard case .fault(let exception)? = error?.code else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(exception.vector == vector)
    switch kind {
    case .nullRead: #expect(exception.errorCode == 4 && exception.address == 0)
    case .nullWrite: #expect(exception.errorCode == 6 && exception.address == 0)
    case .writeToCode: #expect(exception.errorCode == 7)
    case .executeData:
      #expect(exception.errorCode == 0x15 && exception.instructionPointer == exception.address)
    case .stackOverflow: #expect(exception.errorCode == 6 && exception.address < exception.stackPointer + 8)
    default: break
    }
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
    #expect(Support.code { _ = try sandbox.call(FunctionID.echo) } == .poisoned)
  }

  @Test func anAbortCarriesCodeAndMessage() throws {
    var sandbox = try Support.sandbox()
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(FunctionID.fault, [FaultKind.abort.rawValue])
    }
    #expect(error?.code == .abort(code: 9))
    #expect(error?.message.contains("abort was asked for") == true)
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func aFaultInABatchLeavesTheResultsBeforeIt() throws {
    var sandbox = try Support.sandbox()
    let results = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], nil), (FunctionID.echo, [2], nil), (FunctionID.fault, [0], nil),
        (FunctionID.echo, [3], nil),
      ])
    #expect(results.map(\.bytes) == [[1], [2], nil, nil])
    guard case .failed(let error) = results[2], case .fault = error.code, case .notRun = results[3] else {
      Issue.record("\(results)")
      return
    }
  }

  @Test func aCallOverItsDeadlineEnds() throws {
    var sandbox = try Support.sandbox()
    let code = Support.code {
      _ = try sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(0)), deadline: .milliseconds(20))
    }
    #expect(code == .deadlineExceeded)
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func onlyTheLateCallOfABatchFails() throws {
    var sandbox = try Support.sandbox()
    let results = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], .seconds(60)),
        (FunctionID.spin, Support.bytes(of: UInt64(0)), .milliseconds(50)),
        (FunctionID.echo, [2], .seconds(60)),
      ])
    #expect(results[0].bytes == [1])
    guard case .failed(let error) = results[1], error.code == .deadlineExceeded, case .notRun = results[2]
    else {
      Issue.record("\(results)")
      return
    }
  }

  @Test func aRestoreAfterAFaultReturnsTheSandboxToService() throws {
    var sandbox = try Support.sandbox()
    _ = try sandbox.call(FunctionID.counter)
    for kind in [FaultKind.nullRead, .stackOverflow, .abort] {
      _ = try? sandbox.call(FunctionID.fault, [kind.rawValue])
      let isPoisoned = sandbox.isPoisoned
      #expect(isPoisoned)
      try sandbox.restore()
      #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    }
    _ = try? sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(0)), deadline: .milliseconds(5))
    try sandbox.restore()
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    try sandbox.restore()
    try sandbox.restore()
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }
}
