import Foundation
import NubABI
import Synchronization
import Testing

@testable import NubMachine

/// What a guest gets of the host's functions, and what their failures cannot do.
@Suite(.needsKVM) struct HostFunctionTests {
  private struct Surprise: Error, CustomStringConvertible {
    let description = "could not open /var/lib/secret on host alpha"
  }

  /// What the guest saw of a call: its status, and how long the answer was.
  private func call(_ function: UInt32, _ functions: HostFunctions) throws -> [UInt64] {
    var sandbox = try HostileGuest.template(Self.small, functions).makeSandbox()
    let seen = try Support.u64(
      sandbox.call(HostileGuest.hostCall, HostileGuest.words(UInt64(function), MemoryMap.heapBase, 8)))
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
    return seen
  }

  private static var small: SandboxConfiguration {
    var configuration = SandboxConfiguration()
    configuration.maximumResponse = 4096
    configuration.maximumRequest = 8192
    return configuration
  }

  @Test func anAnswerArrives() throws {
    var functions = HostFunctions()
    functions.register(900, name: "answer") { call in call.argument + [1, 2] }
    #expect(try call(900, functions) == [0, 10])
  }

  @Test func aHostErrorIsItsStatusAndAnswer() throws {
    var functions = HostFunctions()
    functions.register(900, name: "refuse") { _ in throw HostError(status: 7, "no") }
    #expect(try call(900, functions) == [7, 2])
  }

  @Test func anUnknownErrorTellsTheGuestNothingOfTheHost() throws {
    var functions = HostFunctions()
    functions.register(900, name: "fall") { _ in throw Surprise() }
    #expect(
      try call(900, functions) == [
        UInt64(HostError.failed), UInt64("the host function fall failed".utf8.count),
      ])
  }

  @Test func anErrorWithoutAStatusIsNoSuccess() throws {
    var functions = HostFunctions()
    functions.register(900, name: "confused") { _ in throw HostError(status: 0, "fine?") }
    #expect(try call(900, functions)[0] == UInt64(HostError.failed))
  }

  @Test func anUnknownFunctionIsAStatus() throws {
    #expect(try call(901, HostFunctions())[0] == UInt64(HostError.unknownFunction))
  }

  @Test func anAnswerOverTheLimitIsAStatus() throws {
    for (size, status) in [
      (4096, 0), (4097, UInt64(HostError.answerTooLarge)), (1 << 24, UInt64(HostError.answerTooLarge)),
    ] {
      var functions = HostFunctions()
      functions.register(900, name: "large") { _ in [UInt8](repeating: 1, count: size) }
      #expect(try call(900, functions) == [status, status == 0 ? UInt64(size) : 0])
    }
  }

  @Test func anArgumentOverTheLimitPoisons() throws {
    var sandbox = try HostileGuest.template(Self.small).makeSandbox()
    let code = Support.code {
      _ = try sandbox.call(HostileGuest.hostCall, HostileGuest.words(900, MemoryMap.heapBase, 8193))
    }
    #expect(code == .protocolViolation)
  }

  @Test func functionsMayBeRegisteredBeforeTheFirstCallOrLaterAndAreGoneAfterARestore() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    func status() throws -> UInt64 {
      try Support.u64(sandbox.call(HostileGuest.hostCall, HostileGuest.words(900, 0, 0)))[0]
    }
    sandbox.hostFunctions.register(900, name: "early") { _ in [] }
    #expect(try status() == 0)
    sandbox.hostFunctions.register(900, name: "later") { _ in throw HostError(status: 3, "") }
    #expect(try status() == 3)
    try sandbox.restore()
    #expect(try status() == UInt64(HostError.unknownFunction))
  }

  @Test func aNameIsOneFunctions() {
    var functions = HostFunctions()
    functions.register(900, name: "one") { _ in [1] }
    functions.register(901, name: "one") { _ in [2] }
    #expect(functions.id(of: "one") == 901)
    #expect(functions.name(of: 900) == nil)
    functions.register(901, name: "two") { _ in [3] }
    #expect(functions.id(of: "one") == nil && functions.name(of: 901) == "two")
  }

  @Test func aFunctionSeesThatItsCallIsLateAndTheGuestIsNotEnteredAgain() throws {
    let seen = Mutex<[Bool]>([])
    var functions = HostFunctions()
    functions.register(900, name: "wait") { call in
      let before = call.isCancelled
      let left = try #require(call.timeLeft)
      while !call.isCancelled { sched_yield() }
      seen.withLock { $0 = [before, left > .zero && left <= .milliseconds(700), call.timeLeft == .zero] }
      return []
    }
    var sandbox = try HostileGuest.template(SandboxConfiguration(), functions).makeSandbox()
    let results = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], .seconds(600)),
        (HostileGuest.hostCall, HostileGuest.words(900, 0, 0), .milliseconds(700)),
        (FunctionID.echo, [2], .seconds(600)),
      ])
    #expect(seen.withLock { $0 } == [false, true, true])
    #expect(results[0].bytes == [1])
    guard case .failed(let error) = results[1], error.code == .deadlineExceeded, case .notRun = results[2]
    else {
      Issue.record("\(results)")
      return
    }
  }

  @Test func aCallWithoutADeadlineHasNoTimeLeftToTell() throws {
    let seen = Mutex<Duration?>(.zero)
    var functions = HostFunctions()
    functions.register(900, name: "look") { call in
      seen.withLock { $0 = call.timeLeft }
      return []
    }
    _ = try call(900, functions)
    #expect(seen.withLock { $0 } == nil)
  }

  @Test func theContextIsTheOwnersAtTheTimeOfTheCall() throws {
    let seen = Mutex<[Int]>([])
    var functions = HostFunctions()
    functions.register(900, name: "look") { call in
      seen.withLock { $0.append(call.context as? Int ?? -1) }
      return []
    }
    var sandbox = try HostileGuest.template(SandboxConfiguration(), functions).makeSandbox()
    for context in [1, 2] {
      sandbox.context = context
      _ = try sandbox.call(HostileGuest.hostCall, HostileGuest.words(900, 0, 0))
    }
    #expect(seen.withLock { $0 } == [1, 2])
  }
}
