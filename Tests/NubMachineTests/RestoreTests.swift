import CKVM
import Foundation
import NubABI
import Testing

@testable import NubMachine

@Suite(.needsKVM) struct RestoreTests {
  static let secret: UInt64 = 0x5ec2_e7b1_7e50_f00d

  static func configuration() -> SandboxConfiguration {
    var configuration = SandboxConfiguration()
    configuration.heapSize = 8 << 20
    configuration.maximumRequest = 1 << 20
    configuration.maximumResult = 1 << 20
    configuration.maximumResponse = 1 << 20
    configuration.directoryCapacity = 256
    return configuration
  }

  /// All memory of the guest's own.
  static func memory(_ sandbox: borrowing Sandbox) -> [UInt8] {
    guard case .machine(let machine) = sandbox.body,
      let bytes = machine.guestArea.bytes(at: 0, count: UInt64(machine.guestArea.size))
    else { return [] }
    return [UInt8](UnsafeRawBufferPointer(bytes))
  }

  static func hostMemory(_ sandbox: borrowing Sandbox) -> [UInt8] {
    guard case .machine(let machine) = sandbox.body,
      let bytes = machine.hostArea.bytes(at: 0, count: UInt64(machine.hostArea.size))
    else { return [] }
    return [UInt8](UnsafeRawBufferPointer(bytes))
  }

  /// How many aligned words of `bytes` are the secret.
  static func secrets(in bytes: [UInt8]) -> Int {
    bytes.withUnsafeBytes { raw in
      var found = 0
      var position = 0
      // memchr, because a loop over millions of words takes seconds in a debug build.
      let first = Int32(truncatingIfNeeded: secret & 0xff)
      while let base = raw.baseAddress, position < raw.count - 7,
        let hit = memchr(base + position, first, raw.count - 7 - position)
      {
        let place = base.distance(to: UnsafeRawPointer(hit))
        if raw.loadUnaligned(fromByteOffset: place, as: UInt64.self) == secret { found += 1 }
        position = place + 1
      }
      return found
    }
  }

  @Test func aRestoredSandboxSharesNothingWithItsPast() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    let before = Self.memory(sandbox)
    let hostBefore = Self.hostMemory(sandbox)
    for ending in 0..<4 {
      let secret = HostileGuest.words(Self.secret)
      _ = try sandbox.call(FunctionID.echo, (0..<8192).flatMap { _ in secret })
      _ = try sandbox.putCap(SandboxCapTests.wire(secret + secret + secret))
      // Secrets in heap, stack, log, result area and registers; left by an unknown doorbell.
      #expect(Support.code { _ = try sandbox.call(HostileGuest.hide, secret) } == .protocolViolation)
      let during = Self.memory(sandbox)
      #expect(Self.secrets(in: during) > 4096 + 3584)
      try sandbox.restore()
      if ending == 1 {
        _ = try? sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(0)), deadline: .milliseconds(5))
      }
      if ending == 2 { _ = try? sandbox.call(FunctionID.fault, [FaultKind.stackOverflow.rawValue]) }
      if ending > 0 { try sandbox.restore() }
      let after = Self.memory(sandbox)
      #expect(Support.isSame(before, after))
      #expect(Support.isSame(hostBefore, Self.hostMemory(sandbox)))
      let registers = try sandbox.call(HostileGuest.registers, [])
      #expect(registers.count == 512)
      #expect(Self.secrets(in: registers) == 0)
      try sandbox.restore()
    }
  }

  @Test func theVectorRegistersAreThoseOfTheStartAfterARestore() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    let fresh = try sandbox.call(HostileGuest.registers, [])
    try sandbox.restore()
    _ = try? sandbox.call(HostileGuest.hide, HostileGuest.words(Self.secret))
    try sandbox.restore()
    #expect(try sandbox.call(HostileGuest.registers, []) == fresh)
  }

  /// Everything that KVM keeps of the vCPU, byte for byte.
  static func processorState(_ sandbox: borrowing Sandbox) throws -> [[UInt8]] {
    guard case .machine(let machine) = sandbox.body else { return [] }
    let vcpu = machine.descriptor
    func bytes<State>(_ state: State, _ get: (Int32, UnsafeMutablePointer<State>) -> Int32) throws -> [UInt8]
    {
      var state = state
      #expect(get(vcpu, &state) >= 0)
      return withUnsafeBytes(of: state) { [UInt8]($0) }
    }
    try machine.completePendingExit()
    return [
      try bytes(kvm_regs(), nub_kvm_get_regs), try bytes(kvm_sregs(), nub_kvm_get_sregs),
      try bytes(kvm_debugregs(), nub_kvm_get_debugregs), try bytes(kvm_xsave(), nub_kvm_get_xsave),
      try bytes(kvm_vcpu_events(), nub_kvm_get_events),
    ]
  }

  /// Whether the guest can use AVX-512: not a matter of what it is told, but of what is there.
  private static func hasAVX512(_ sandbox: inout Sandbox) throws -> UInt64 {
    let isThere = (try? sandbox.call(HostileGuest.state, HostileGuest.words(1))) != nil
    try sandbox.restore()
    return isThere ? 1 : 0
  }

  @Test func nothingOfTheProcessorsOtherStateSurvivesARestore() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    let wide = try Self.hasAVX512(&sandbox)
    let pristine = try Self.processorState(sandbox)
    let fresh = try sandbox.call(HostileGuest.state, HostileGuest.words(wide))
    try sandbox.restore()
    #expect(
      Support.code { _ = try sandbox.call(HostileGuest.hideState, HostileGuest.words(Self.secret, wide)) }
        == .protocolViolation)
    // The guest's own view of what it has left, so that the test would notice if it left nothing.
    #expect(try Self.processorState(sandbox) != pristine)
    try sandbox.restore()
    #expect(try Self.processorState(sandbox) == pristine)
    let after = try sandbox.call(HostileGuest.state, HostileGuest.words(wide))
    #expect(after == fresh)
    #expect(Self.secrets(in: after) == 0)
  }

  @Test func whatTheHostSetsInTheProcessorIsGoneAfterARestoreToo() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    let pristine = try Self.processorState(sandbox)
    guard case .machine(let machine) = sandbox.body else { return }
    var debug = kvm_debugregs()
    debug.db.0 = 0x40_0000
    debug.dr6 = 0xffff_0ff0
    debug.dr7 = 0x401
    #expect(nub_kvm_set_debugregs(machine.descriptor, &debug) >= 0)
    var special = kvm_sregs()
    #expect(nub_kvm_get_sregs(machine.descriptor, &special) >= 0)
    special.fs.base = Self.secret & 0x7fff_ffff_ffff
    special.cr2 = Self.secret
    #expect(nub_kvm_set_sregs(machine.descriptor, &special) >= 0)
    #expect(try Self.processorState(sandbox) != pristine)
    try sandbox.restore()
    #expect(try Self.processorState(sandbox) == pristine)
  }

  @Test func fromOneTenantToTheNextNothingIsLeft() throws {
    let pool = try SandboxPool(
      template: try HostileGuest.template(Self.configuration()), warm: 0, maximum: 1)
    var first = try pool.take(tenant: 1)
    let pristine = Self.memory(first)
    let processor = try Self.processorState(first)
    let host = Self.hostMemory(first)
    let id = first.id
    first.hostFunctions.register(900, name: "tenants_own") { _ in [1] }
    first.context = "tenant 1"
    let secret = HostileGuest.words(Self.secret)
    _ = try first.call(FunctionID.echo, (0..<8192).flatMap { _ in secret })
    let hash = try first.putCap(SandboxCapTests.wire(secret))
    _ = try first.call(FunctionID.alloc, Support.bytes(of: UInt64(1 << 20)))
    pool.give(first, tenant: 1)

    let second = try pool.take(tenant: 2)
    // The same machine, as it was before its first tenant.
    #expect(second.id == id)
    #expect(Support.isSame(pristine, Self.memory(second)))
    #expect(Support.isSame(host, Self.hostMemory(second)))
    #expect(try Self.processorState(second) == processor)
    #expect(second.hostFunctions.name(of: 900) == nil && second.context == nil)
    var other = second
    let holds = try other.directoryContains(hash)
    #expect(!holds)
    pool.give(other, tenant: 2)
  }

  private static func contains(_ bytes: UnsafeRawBufferPointer, _ text: [UInt8]) -> Bool {
    var position = 0
    while let base = bytes.baseAddress, position + text.count <= bytes.count,
      let hit = memchr(base + position, Int32(text[0]), bytes.count - text.count + 1 - position)
    {
      if memcmp(hit, text, text.count) == 0 { return true }
      position = base.distance(to: UnsafeRawPointer(hit)) + 1
    }
    return false
  }

  @Test func nothingThatAGuestCanReadTellsOfTheHost() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    _ = try sandbox.call(FunctionID.echo, [UInt8](repeating: 0, count: 1 << 16))
    _ = try sandbox.putCap(SandboxCapTests.wire([1, 2, 3]))
    _ = try sandbox.call(HostileGuest.hostCall, HostileGuest.words(900, MemoryMap.heapBase, 64))
    guard case .machine(let machine) = sandbox.body else { return }
    // Every mapping of this process, but the one that is at the same place in all of them.
    let maps = try String(contentsOfFile: "/proc/self/maps", encoding: .utf8)
    let ranges = maps.split(separator: "\n").filter { !$0.hasSuffix("[vsyscall]") }.compactMap { line in
      let ends = line.prefix { $0 != " " }.split(separator: "-").compactMap { UInt64($0, radix: 16) }
      return ends.count == 2 ? ends[0]..<ends[1] : nil
    }.sorted { $0.lowerBound < $1.lowerBound }
    func isHosts(_ word: UInt64) -> Bool {
      guard word >= MemoryMap.userEnd, word < 1 << 47 else { return false }
      return ranges.contains { $0.contains(word) }
    }
    let texts = [
      ProcessInfo.processInfo.hostName, FileManager.default.currentDirectoryPath, NSHomeDirectory(),
      CommandLine.arguments[0], "/home/", "/usr/", "/tmp/", "Sources/",
    ].filter { $0.utf8.count >= 4 }.map { Array($0.utf8) }
    var pages = 0
    for mapping in machine.template.space.mappings where mapping.isUser {
      guard let view = machine.view(of: mapping) else { continue }
      for start in stride(from: 0, to: view.count, by: 4096) {
        let page = UnsafeRawBufferPointer(rebasing: view[start..<(start + 4096)])
        guard page.contains(where: { $0 != 0 }) else { continue }
        pages += 1
        for word in Support.u64([UInt8](page)) where isHosts(word) {
          Issue.record("\(mapping.region) holds the host address \(hexadecimal(word))")
        }
        for text in texts {
          let found = Self.contains(page, text)
          if found { Issue.record("\(mapping.region) holds \(String(decoding: text, as: UTF8.self))") }
        }
      }
    }
    #expect(pages > 20)
    // Registers.
    for word in try Self.processorState(sandbox).prefix(1).flatMap({ Support.u64($0) }) where isHosts(word) {
      Issue.record("a register holds the host address \(hexadecimal(word))")
    }
  }

  @Test func whatADroppedSandboxHadGoesBackToTheSystem() async {
    await #expect(processExitsWith: .success) {
      func resident() throws -> Int {
        let memory = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(memory.split(separator: " ")[1]) ?? 0) * 4096
      }
      let template = try Support.template.get()
      let size: UInt64 = 48 << 20
      func use() throws -> Int {
        var sandbox = try template.makeSandbox()
        _ = try sandbox.call(FunctionID.alloc, Support.bytes(of: size))
        return try resident()
      }
      _ = try use()
      let before = try resident()
      let during = try use()
      let after = try resident()
      exit(during - before > Int(size) * 9 / 10 && after - before < 4 << 20 ? 0 : 1)
    }
  }
}
