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

  @Test func nothingThatAGuestCanReadIsAHostAddress() throws {
    var sandbox = try HostileGuest.template(Self.configuration()).makeSandbox()
    guard case .machine(let machine) = sandbox.body else { return }
    let ranges = [bounds(machine.guestArea), bounds(machine.hostArea), bounds(machine.shared)]
    func bounds(_ memory: borrowing MappedMemory) -> Range<UInt64> {
      let base = UInt64(UInt(bitPattern: memory.base))
      return base..<(base + UInt64(memory.size))
    }
    for mapping in machine.template.space.mappings where mapping.isUser {
      for start in stride(from: UInt64(0), to: min(mapping.size, 256 << 10), by: 1 << 16) {
        let length = min(1 << 16, mapping.size - start)
        let bytes = try sandbox.call(HostileGuest.peek, HostileGuest.words(mapping.virtual + start, length))
        guard bytes.contains(where: { $0 != 0 }) else { continue }
        for word in Support.u64(bytes) where ranges.contains(where: { $0.contains(word) }) {
          Issue.record("\(mapping.region) holds the host address \(hexadecimal(word))")
        }
      }
    }
  }
}
