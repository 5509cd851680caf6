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

  @Test func theDirectoryTellsWhichCapsCallsHaveUsed() throws {
    var sandbox = try Support.sandbox()
    let hashes = try (0..<3).map { try sandbox.putCap(Self.wire(Support.bytes(of: UInt64($0)))) }
    #expect(sandbox.usedCaps(every: .seconds(3_600)).isEmpty)
    #expect(Set(sandbox.usedCaps(every: .zero)) == Set(hashes))
    #expect(sandbox.usedCaps(every: .zero).isEmpty)
    _ = try sandbox.call(FunctionID.capWordCount, hashes[1].bytes)
    #expect(sandbox.usedCaps(every: .zero) == [hashes[1]])
    // A restored sandbox knows nothing, and its clock starts over.
    try sandbox.restore()
    #expect(sandbox.usedCaps(every: .zero).isEmpty)
    let hash = try sandbox.putCap(Self.wire(Array("again".utf8)))
    #expect(sandbox.usedCaps(every: .zero) == [hash])
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

  @Test func aCapThatHasNoWireFormIsRefusedBeforeAnythingIsSent() throws {
    var sandbox = try Support.sandbox()
    let root = try #require(CapHash([UInt8](repeating: 3, count: 32)))
    let reference = Cap.CNode.Entry(slot: 1, content: .reference(CapReference(rawValue: 7)))
    let caps: [Cap] = [
      .data(.paged(try PagedBytes(byteCount: 4096, missing: [root]))),
      .cnode(Cap.CNode(sizeLog: 4, slots: [reference])),
      // Breaks a rule of the format: a slot beyond the table.
      .cnode(Cap.CNode(sizeLog: 1, slots: [Cap.CNode.Entry(slot: 9, cap: root)])),
    ]
    for cap in caps {
      #expect(Support.code { _ = try sandbox.putCap(cap) } == .capInvalid)
      #expect(Support.code { try sandbox.putCap(hash: root, cap: cap) } == .capInvalid)
    }
    let isPristine = sandbox.isPristine
    #expect(isPristine)
  }

  @Test func aCapGoesTheSameWayAsItsWireForm() throws {
    var sandbox = try Support.sandbox()
    let child = try sandbox.putCap(Cap.data(.inline([1, 2, 3])))
    #expect(try sandbox.putCap(Self.wire([1, 2, 3])) == child)
    let node = Cap.cnode(Cap.CNode(sizeLog: 4, slots: [Cap.CNode.Entry(slot: 5, cap: child)]))
    let hash = try sandbox.putCap(node)
    #expect(try !sandbox.putCap(hash: hash, cap: node))
    let other = Cap.data(.inline([4]))
    #expect(
      Support.code {
        try sandbox.putCap(hash: try #require(CapHash([UInt8](repeating: 9, count: 32))), cap: other)
      } == .hashMismatch)
  }

  /// A guest whose own code answers puts with what the test wants.
  private func liar(_ length: UInt64, _ byte: UInt64) throws -> Sandbox {
    let template = try SandboxTemplate(kvm: try HostileGuest.image(lyingAs: FunctionID.putCap))
    var sandbox = try template.makeSandbox()
    _ = try sandbox.call(HostileGuest.prepareLie, HostileGuest.words(length, byte))
    return sandbox
  }

  @Test(arguments: [0, 1, 31, 33, 64, 4096] as [UInt64])
  func anAnswerOfAnotherLengthThanAHashPoisons(length: UInt64) throws {
    var sandbox = try liar(length, 1)
    #expect(Support.code { _ = try sandbox.putCap(Self.wire([1])) } == .protocolViolation)
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func theSentinelIsARefusalAndNoHash() throws {
    var sandbox = try liar(32, 0xff)
    #expect(Support.code { _ = try sandbox.putCap(Self.wire([1])) } == .capInvalid)
    let isPoisoned = sandbox.isPoisoned
    #expect(!isPoisoned)
  }

  @Test func aGuestThatComputesAnotherHashIsFoundOut() throws {
    var sandbox = try liar(32, 0x11)
    let wire = Self.wire([1])
    let hash = try CapView(validating: wire.span.bytes).hashTreeRoot()
    #expect(Support.code { try sandbox.putCap(hash: hash, wire: wire) } == .hashMismatch)
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func whatTheGuestSaysOfItselfLaterIsNotBelieved() throws {
    let template = try SandboxTemplate(kvm: try HostileGuest.image(lyingAs: FunctionID.getBootInfo))
    var sandbox = try template.makeSandbox()
    let before = try sandbox.bootInfo()
    _ = try sandbox.call(HostileGuest.prepareLie, HostileGuest.words(48, 0x55))
    #expect(try sandbox.call(FunctionID.getBootInfo).count == 48)
    #expect(try sandbox.bootInfo() == before)
  }
}
