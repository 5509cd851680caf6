import NubABI
import NubCap
import Testing

@testable import NubMachine

@Suite(.needsKVM) struct SandboxCapTests {
  static func wire(_ bytes: [UInt8]) -> [UInt8] { [2, 4, 0, 0, 0] + bytes }

  @Test(arguments: [0, 1, 31, 32, 33, 4095, 4096, 4097, 1 << 20])
  func theGuestComputesTheHashThatTheHostComputes(size: Int) throws {
    var sandbox = try Support.sandbox()
    let wire = Self.wire(Support.bytes(count: size))
    let hash = try CapView(validating: wire.span.bytes).hashTreeRoot()
    let had = try sandbox.directoryContains(hash)
    #expect(!had)
    #expect(try sandbox.putCap(wire) == hash)
    let has = try sandbox.directoryContains(hash)
    #expect(has)
  }

  @Test func aPutThatTheGuestAlreadyHasDoesNotEnterTheVM() throws {
    var sandbox = try Support.sandbox()
    let wire = Self.wire([1, 2, 3])
    let hash = try CapView(validating: wire.span.bytes).hashTreeRoot()
    #expect(try sandbox.putCap(hash: hash, wire: wire))
    let before = sandbox.sequence
    #expect(try !sandbox.putCap(hash: hash, wire: wire))
    let after = sandbox.sequence
    #expect(before == after)
  }

  @Test func aWrongClaimIsAMismatchAndPoisons() throws {
    var sandbox = try Support.sandbox()
    let wrong = try #require(CapHash([UInt8](repeating: 7, count: 32)))
    #expect(Support.code { try sandbox.putCap(hash: wrong, wire: Self.wire([1])) } == .hashMismatch)
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func bytesThatAreNoCapAreRefused() throws {
    var sandbox = try Support.sandbox()
    #expect(Support.code { _ = try sandbox.putCap([9, 9, 9]) } == .capInvalid)
    #expect(Support.code { _ = try sandbox.putCap([]) } == .capInvalid)
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test func aMissingCapIsNamed() throws {
    var sandbox = try Support.sandbox()
    let hash = [UInt8](repeating: 5, count: 32)
    let results = Support.batch(&sandbox, [(FunctionID.capWordCount, hash, nil)])
    guard case .guestError(GuestStatus.capMissing, let detail) = results[0] else {
      Issue.record("\(results)")
      return
    }
    #expect(detail == hash)
  }

  @Test func aCapThatTheGuestLacksComesThroughTheHost() throws {
    let wire = Self.wire(Array("two words\nand a line\n".utf8))
    let hash = try CapView(validating: wire.span.bytes).hashTreeRoot()
    var functions = HostFunctions()
    functions.register(HostFunctionID.capFetch, name: "cap_fetch") { call in
      #expect(call.argument == hash.bytes)
      return Support.bytes(of: UInt32(wire.count)) + wire
    }
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), hostFunctions: functions)
    var sandbox = try template.makeSandbox()
    #expect(try Support.u64(sandbox.call(FunctionID.capWordCount, hash.bytes)) == [2, 5, 21])
    let has = try sandbox.directoryContains(hash)
    #expect(has)
    #expect(try Support.u64(sandbox.call(FunctionID.evict)) == [1])
    let hasStill = try sandbox.directoryContains(hash)
    #expect(!hasStill)
  }

  @Test func aFullDirectoryForgetsTheLeastRecentlyUsed() throws {
    var configuration = SandboxConfiguration()
    configuration.directoryCapacity = 16
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
    var sandbox = try template.makeSandbox()
    var hashes: [CapHash] = []
    for number in 0..<40 { hashes.append(try sandbox.putCap(Self.wire(Support.bytes(of: UInt64(number))))) }
    var present: [Bool] = []
    for hash in hashes { present.append(try sandbox.directoryContains(hash)) }
    #expect(present == (0..<40).map { $0 >= 28 })
  }
}
