import NubABI
import Testing

@testable import NubMachine

/// What a configuration limits, and how it is said when somebody goes over it.
@Suite struct LimitTests {
  private static func small() -> SandboxConfiguration {
    var configuration = SandboxConfiguration()
    configuration.heapSize = 4 << 20
    configuration.stackSize = 64 << 10
    configuration.maximumRequest = 8192
    configuration.maximumResult = 4096
    configuration.directoryCapacity = 64
    return configuration
  }

  @Test(.needsKVM) func aRequestHasItsLimit() throws {
    // A function that takes any payload and answers with eight bytes.
    var sandbox = try HostileGuest.template(Self.small()).makeSandbox()
    #expect(try sandbox.call(FunctionID.counter, [UInt8](repeating: 1, count: 8192)).count == 8)
    let code = Support.code {
      _ = try sandbox.call(FunctionID.counter, [UInt8](repeating: 1, count: 8193))
    }
    #expect(code == .tooLarge)
    let isPoisoned = sandbox.isPoisoned
    #expect(!isPoisoned)
  }

  @Test(.needsKVM) func aResultHasItsLimitAndTheGuestIsToldAndGoesOn() throws {
    var sandbox = try HostileGuest.template(Self.small()).makeSandbox()
    #expect(try sandbox.call(FunctionID.echo, [UInt8](repeating: 1, count: 4096)).count == 4096)
    let results = Support.batch(
      &sandbox, [4096, 4097, 8192, 1].map { (FunctionID.echo, [UInt8](repeating: 1, count: $0), nil) })
    for (index, expected) in [4096, nil, nil, 1].enumerated() {
      if let expected {
        #expect(results[index].bytes?.count == expected)
      } else if case .guestError(let status, _) = results[index] {
        #expect(status == GuestStatus.resultTooLarge)
      } else {
        Issue.record("\(results[index])")
      }
    }
  }

  @Test(.needsKVM) func aGuestThatClaimsALargerResultIsPoisoned() throws {
    var sandbox = try HostileGuest.template(Self.small()).makeSandbox()
    // A header of its own for call 0, with 4097 bytes.
    let code = Support.code {
      _ = try sandbox.call(
        HostileGuest.poke,
        HostileGuest.words(
          1, MemoryMap.resultBase, 8, 0, MemoryMap.resultBase + 8, 4, 4097, MemoryMap.guestControl + 20, 4, 1,
          MemoryMap.guestControl + 12, 4, 2))
    }
    #expect(code == .protocolViolation)
  }

  @Test(.needsKVM) func theHeapHasItsLimit() throws {
    var sandbox = try HostileGuest.template(Self.small()).makeSandbox()
    func alloc(_ bytes: UInt64) -> MachineError.Code? {
      Support.code { _ = try sandbox.call(FunctionID.alloc, Support.bytes(of: bytes)) }
    }
    #expect(alloc(2 << 20) == nil)
    #expect(alloc(5 << 20) == .guestError(status: GuestStatus.outOfMemory))
    #expect(alloc(.max) == .guestError(status: GuestStatus.outOfMemory))
    #expect(alloc(2 << 20) == nil)
    let stats = try Support.u64(sandbox.call(FunctionID.heapStats))
    #expect(stats[0] <= 4 << 20 && stats[1] < 1 << 20)
  }

  @Test(.needsKVM, arguments: [16 << 10, 64 << 10, 64 << 20] as [UInt64])
  func theStackHasItsLimit(size: UInt64) throws {
    var configuration = Self.small()
    configuration.stackSize = size
    var sandbox = try HostileGuest.template(configuration).makeSandbox()
    _ = try sandbox.call(HostileGuest.deep, HostileGuest.words(size / 2))
    let code = Support.code { _ = try sandbox.call(HostileGuest.deep, HostileGuest.words(size * 2)) }
    guard case .fault(let fault)? = code else {
      Issue.record("\(String(describing: code))")
      return
    }
    // The guard page below the stack, or what lies behind it.
    #expect(fault.vector == 14 && fault.address < MemoryMap.stackTop - size)
  }

  @Test func absurdValuesAreRefusedByName() throws {
    let changes: [(String, (inout SandboxConfiguration) -> Void)] = [
      ("heapSize", { $0.heapSize = 0 }), ("heapSize", { $0.heapSize = (2 << 20) + 1 }),
      ("heapSize", { $0.heapSize = .max }), ("heapSize", { $0.heapSize = MemoryMap.heapMaximum + (2 << 20) }),
      ("stackSize", { $0.stackSize = 0 }), ("stackSize", { $0.stackSize = 16385 }),
      ("stackSize", { $0.stackSize = .max }), ("maximumRequest", { $0.maximumRequest = 0 }),
      ("maximumRequest", { $0.maximumRequest = .max }), ("maximumResult", { $0.maximumResult = 4095 }),
      ("maximumResult", { $0.maximumResult = 1 << 30 }), ("maximumResponse", { $0.maximumResponse = 1 }),
      ("directoryCapacity", { $0.directoryCapacity = 0 }),
      ("directoryCapacity", { $0.directoryCapacity = 17 }),
      ("directoryCapacity", { $0.directoryCapacity = 1 << 31 }),
      (
        "directoryCapacity",
        {
          $0.heapSize = 2 << 20
          $0.directoryCapacity = 1 << 16
        }
      ),
      ("logSize", { $0.logSize = 0 }), ("logSize", { $0.logSize = 4097 }),
      ("logSize", { $0.logSize = 2 << 20 }),
      ("startTimeout", { $0.startTimeout = .zero }), ("startTimeout", { $0.startTimeout = .seconds(3601) }),
      ("sizeLimit", { $0.crashDumps = Self.dumps { $0.sizeLimit = 1 } }),
      ("keep", { $0.crashDumps = Self.dumps { $0.keep = 0 } }),
    ]
    for (name, change) in changes {
      var configuration = SandboxConfiguration()
      change(&configuration)
      do throws(MachineError) {
        try configuration.validate()
        Issue.record("\(name) was taken")
      } catch {
        #expect(error.code == .configurationInvalid && error.message.contains(name), "\(name): \(error)")
      }
    }
    try SandboxConfiguration().validate()
  }

  private static func dumps(_ change: (inout CrashDumpConfiguration) -> Void) -> CrashDumpConfiguration {
    var dumps = CrashDumpConfiguration(directory: "/tmp")
    change(&dumps)
    return dumps
  }

  @Test(.needsKVM) func whatABatchCouldNotRunRunsElsewhere() throws {
    var one = try Support.sandbox()
    var other = try Support.sandbox()
    let calls: [(UInt32, [UInt8], Duration?)] = (0..<40).map { index in
      index == 17
        ? (FunctionID.fault, [FaultKind.nullRead.rawValue], nil) : (FunctionID.echo, [UInt8(index)], nil)
    }
    let first = Support.batch(&one, calls)
    let rest = calls.indices.filter { if case .notRun = first[$0] { true } else { false } }
    #expect(rest == Array(18..<40))
    guard case .failed(let error) = first[17], case .fault = error.code else {
      Issue.record("\(first[17])")
      return
    }
    let second = Support.batch(&other, rest.map { calls[$0] })
    let bytes = first.prefix(17).map(\.bytes) + second.map(\.bytes)
    #expect(bytes == calls.indices.filter { $0 != 17 }.map { [UInt8($0)] })
  }
}
