import CNubABI
import Foundation
import NubABI
import NubCap
import Testing

@testable import NubMachine

/// A guest that lies in everything it shares with the host. What it achieves is a poisoned sandbox or nothing; the host
/// neither traps nor reads or writes outside, and a restore makes the sandbox as good as new.
@Suite(.needsKVM) struct HostileMemoryTests {
  static let interesting: [UInt64] = [
    0, 1, 2, 3, 4, 5, 6, 15, 16, 255, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff_fff0,
    0x7fff_ffff_ffff_ffff, 0x8000_0000_0000_0000, .max, .max - 15, MemoryMap.hostControl,
    MemoryMap.guestControl,
    MemoryMap.resultBase, MemoryMap.heapBase, MemoryMap.supervisorBase, MemoryMap.userEnd - 1,
  ]

  /// Every field of the control page: offset and width.
  static let control: [(String, Int?, UInt64)] = [
    ("magic", MemoryLayout<nub_guest_control>.offset(of: \.magic), 8),
    ("abi_version", MemoryLayout<nub_guest_control>.offset(of: \.abi_version), 4),
    ("reason", MemoryLayout<nub_guest_control>.offset(of: \.reason), 4),
    ("sequence", MemoryLayout<nub_guest_control>.offset(of: \.sequence), 4),
    ("published", MemoryLayout<nub_guest_control>.offset(of: \.published), 4),
    ("boot_info", MemoryLayout<nub_guest_control>.offset(of: \.boot_info), 8),
    ("host_call_function", MemoryLayout<nub_guest_control>.offset(of: \.host_call_function), 4),
    ("reserved0", MemoryLayout<nub_guest_control>.offset(of: \.reserved0), 4),
    ("host_call_argument", MemoryLayout<nub_guest_control>.offset(of: \.host_call_argument), 8),
    ("host_call_length", MemoryLayout<nub_guest_control>.offset(of: \.host_call_length), 8),
    ("abort_code", MemoryLayout<nub_guest_control>.offset(of: \.abort_code), 4),
    ("abort_length", MemoryLayout<nub_guest_control>.offset(of: \.abort_length), 4),
    // The first word of 1024 bytes; GuestTextTests has the rest.
    ("abort_message", MemoryLayout<nub_guest_control>.offset(of: \.abort_message), 8),
  ]
  /// Every field of a result's header, of the log area's, of a record's in it, and of the boot info, in bytes from the start.
  static let result: [(UInt64, UInt64)] = [(0, 4), (4, 4), (8, 4), (12, 4), (16, 8), (24, 8)]
  static let log: [(UInt64, UInt64)] =
    [(0, 8), (8, 8)] + (2..<8).map { ($0 * 8, 8) } + [(64, 4), (68, 2), (70, 2), (72, 4), (76, 4)]
  static let bootInfo: [(UInt64, UInt64)] =
    [(0, 8), (8, 4), (12, 4), (16, 8), (24, 4), (28, 4), (32, 8), (40, 8)]

  /// The lists above leave no byte of their structures out, so a field that is added must be attacked as well.
  @Test func everyFieldIsAttacked() {
    func end(_ fields: [(UInt64, UInt64)]) -> UInt64? {
      fields.sorted { $0.0 < $1.0 }.reduce(0 as UInt64?) { end, field in
        end == field.0 ? field.0 + field.1 : nil
      }
    }
    var control = Self.control.map { (UInt64($0.1 ?? .max), $0.2) }
    control[control.count - 1].1 = UInt64(NUB_ABORT_MESSAGE_MAX)
    #expect(end(control) == UInt64(MemoryLayout<nub_guest_control>.size))
    #expect(end(Self.result) == UInt64(MemoryLayout<nub_result>.size))
    #expect(
      end(Self.log)
        == UInt64(MemoryLayout<nub_log_area>.size + MemoryLayout<nub_log_record>.size))
    #expect(end(Self.bootInfo) == UInt64(MemoryLayout<nub_boot_info>.size))
  }

  private static func at(_ path: PartialKeyPath<nub_guest_control>) -> UInt64 {
    MemoryMap.guestControl + UInt64(MemoryLayout<nub_guest_control>.offset(of: path) ?? 0)
  }

  /// Runs the attack between two honest calls, then restores and checks that all is well.
  private func attack(
    _ sandbox: inout Sandbox, _ pokes: [UInt64], _ end: HostileGuest.End, _ what: String
  ) throws {
    let payload = [end.rawValue] + pokes
    let results = Support.batch(
      &sandbox,
      [
        (FunctionID.echo, [1], .milliseconds(15)),
        (HostileGuest.poke, payload.flatMap { Support.bytes(of: $0) }, .milliseconds(15)),
        (FunctionID.echo, [2], .milliseconds(15)),
      ])
    #expect(results.count == 3, "\(what)")
    // A lie may cost results of its own batch that the host has not read yet; that is all it may cost.
    for case .failed(let error) in results { #expect(error.poisons, "\(what): \(error)") }
    _ = try? sandbox.directoryContains(CapHash.refused)
    try sandbox.restore()
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1], "\(what)")
    try sandbox.restore()
  }

  @Test(arguments: control.indices)
  func aLieInTheControlPageIsContained(field: Int) throws {
    let (name, offset, width) = Self.control[field]
    let address = MemoryMap.guestControl + UInt64(try #require(offset))
    var sandbox = try HostileGuest.template().makeSandbox()
    for value in Self.interesting {
      for end in HostileGuest.End.allCases {
        // An endless guest takes as long as its deadline; a few values are enough there.
        if end == .spinning || end == .ringingForever, value > 6 && value != .max { continue }
        try attack(&sandbox, [address, width, value], end, "\(name) = \(value), \(end)")
      }
    }
  }

  @Test(arguments: [
    NUB_DOORBELL_READY, NUB_DOORBELL_BATCH_DONE, NUB_DOORBELL_DRAIN, NUB_DOORBELL_HOST_CALL,
    NUB_DOORBELL_ABORT,
  ])
  func aLieWithEachDoorbellIsContained(reason: UInt32) throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let fields: [(PartialKeyPath<nub_guest_control>, UInt64)] = [
      (\nub_guest_control.published, 4), (\nub_guest_control.sequence, 4),
      (\nub_guest_control.host_call_argument, 8), (\nub_guest_control.host_call_length, 8),
      (\nub_guest_control.abort_length, 4),
    ]
    for (path, width) in fields {
      for value in Self.interesting {
        try attack(
          &sandbox, [Self.at(\.reason), 4, UInt64(reason), Self.at(path), width, value], .ringing,
          "doorbell \(reason), \(path) = \(value)")
      }
    }
  }

  @Test func aLieInAResultsHeaderPoisons() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    // The second call's result lies behind the first's: 32 bytes of header and 1 byte rounded up to 16.
    let header = MemoryMap.resultBase + 48
    for (offset, width) in Self.result {
      for value in Self.interesting {
        try attack(
          &sandbox, [header + offset, width, value, Self.at(\.published), 4, 2, Self.at(\.reason), 4, 2],
          .ringing,
          "result field at \(offset) = \(value)")
      }
    }
  }

  @Test func aLieInTheLogAreaIsContained() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let base = MemoryMap.logBase
    for (offset, width) in Self.log {
      for value in Self.interesting {
        // A record of 24 bytes, and one field wrong.
        try attack(
          &sandbox, [base, 8, 4096, base + 64, 4, 24, base + 72, 4, 8, base + offset, width, value],
          .returning,
          "log field at \(offset) = \(value)")
      }
    }
  }

  /// Behind the last result: everything is published, and then something else is written.
  @Test(arguments: control.indices)
  func aLieBehindTheLastResultIsContained(field: Int) throws {
    let (name, offset, width) = Self.control[field]
    let address = MemoryMap.guestControl + UInt64(try #require(offset))
    var sandbox = try HostileGuest.template().makeSandbox()
    // The results of the second and the third call, without bytes, behind that of the first.
    let honest: [UInt64] = [
      MemoryMap.resultBase + 48, 8, 1, MemoryMap.resultBase + 56, 8, 0, MemoryMap.resultBase + 80, 8, 2,
      MemoryMap.resultBase + 88, 8, 0, Self.at(\.published), 4, 3, Self.at(\.reason), 4,
      UInt64(NUB_DOORBELL_BATCH_DONE),
    ]
    for value in Self.interesting {
      try attack(&sandbox, honest + [address, width, value], .ringing, "\(name) = \(value) at the end")
    }
  }

  /// Before a call: what an earlier one has left.
  @Test(arguments: control.indices)
  func aLieThatAnEarlierCallLeftIsContained(field: Int) throws {
    let (name, offset, width) = Self.control[field]
    let address = MemoryMap.guestControl + UInt64(try #require(offset))
    var sandbox = try HostileGuest.template().makeSandbox()
    for value in Self.interesting {
      let poke = ([0, address, width, value] as [UInt64]).flatMap { Support.bytes(of: $0) }
      let left = Support.batch(&sandbox, [(HostileGuest.poke, poke, .milliseconds(50))])
      for case .failed(let error) in left { #expect(error.poisons, "\(name) = \(value): \(error)") }
      let next = Support.batch(&sandbox, [(FunctionID.echo, [9], .seconds(60))])
      switch next[0] {
      case .returned(let bytes): #expect(bytes == [9], "\(name) = \(value)")
      case .failed(let error): #expect(error.poisons, "\(name) = \(value): \(error)")
      default: Issue.record("\(name) = \(value): \(next[0])")
      }
      try sandbox.restore()
    }
  }

  @Test func aLieInTheBootInfoIsNotReadAgain() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let address = sandbox.areas.control.pointee.boot_info
    let before = try sandbox.bootInfo()
    for (offset, width) in Self.bootInfo {
      for value in Self.interesting {
        try attack(&sandbox, [address + offset, width, value], .returning, "boot info at \(offset)")
        #expect(try sandbox.bootInfo() == before)
      }
    }
  }

  /// The guest writes while the host reads: readers of shared memory on this thread, the guest on another.
  @Test func whatChangesWhileTheHostReadsItIsContained() throws {
    let sandbox = try HostileGuest.template(RestoreTests.configuration()).makeSandbox()
    guard case .machine(let machine) = sandbox.body else { return }
    let areas = sandbox.areas
    let info = try sandbox.bootInfo()
    let size = UInt64(64 + 64 * Int(info.directoryCapacity))
    let own = try #require(machine.guestBytes(at: info.directoryAddress, count: size))
    let directory = try #require(DirectoryReader(own, capacity: info.directoryCapacity))
    let handle = sandbox.interruptHandle
    let payload = HostileGuest.words(
      info.directoryAddress, size, MemoryMap.logBase, 4096, MemoryMap.resultBase, 4096,
      MemoryMap.guestControl, 1088, MemoryMap.stackTop - 32768, 16384)
    let box = Locked<SandboxBox?>(SandboxBox(sandbox))
    let ended = Locked<[CallOutcome]>([])
    let runner = Threads(1) { _ in
      guard var sandbox = box.withLock({ $0 })?.open() else { return }
      let results = Support.batch(&sandbox, [(HostileGuest.scribble, payload, nil)])
      ended.withLock { $0 = results }
      try? sandbox.restore()
      let back = SandboxBox(sandbox)
      box.withLock { $0 = back }
    }
    // Until the guest is seen to write.
    while areas.result.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == 0 { sched_yield() }
    var random = Splitmix(state: 11)
    for round in 0..<(Machine.isLong ? 20_000 : 500) {
      for _ in 0..<8 {
        let bytes: [UInt8] = (0..<4).flatMap { _ in Support.bytes(of: random.next() & 3) }
        let hash = try #require(CapHash(bytes))
        _ = directory.contains(hash)
      }
      _ = DirectoryReader(own, capacity: info.directoryCapacity)
      var log = GuestLogReader(areas.log)
      while let record = log.next(in: areas.log) { _ = GuestLogReader.text(areas.log, record.message) }
      var results = ResultReader(calls: 64, maximumLength: 4096)
      do throws(MachineError) {
        while try results.next(in: areas.result, published: areas.control.pointee.published) != nil {}
      } catch {
        #expect(error.code == .protocolViolation)
      }
      var registers = GeneralRegisters()
      registers.rbp = MemoryMap.stackTop - 32768 + (random.next() & 0x3ff8)
      _ = machine.backtrace(registers)
      if round % 100 == 0 {
        let dumped = Locked(false)
        let folder = try TemporaryFolder()
        let asked = handle.requestCrashDump(to: "\(folder.path)/x.core") { _ in dumped.withLock { $0 = true }
        }
        while asked == .requested, !dumped.withLock({ $0 }) { sched_yield() }
      }
    }
    while handle.interrupt() == .notRunning, ended.withLock({ $0.isEmpty }) { sched_yield() }
    runner.join()
    for case .failed(let error) in ended.withLock({ $0 }) { #expect(error.poisons) }
    let back = try #require(box.withLock { $0 })
    guard var restored = back.open() else {
      Issue.record("the sandbox did not come back")
      return
    }
    #expect(try Support.u64(restored.call(FunctionID.counter)) == [1])
  }

  @Test func aLieInTheDirectoryIsContained() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let directory = try sandbox.bootInfo().directoryAddress
    let capacity = try sandbox.bootInfo().directoryCapacity
    for offset in stride(from: 0, to: UInt64(64 + 128), by: 8) {
      for value in Self.interesting {
        try attack(
          &sandbox, [directory + offset, 8, value], .returning, "directory word \(offset) = \(value)")
      }
    }
    // Every entry present: a lookup without a limit would not end.
    for first in stride(from: UInt32(0), to: capacity, by: 512) {
      let pokes = (first..<(first + 512)).flatMap {
        [directory + 64 + UInt64($0) * 64 + 44, 4, 1] as [UInt64]
      }
      _ = try sandbox.call(HostileGuest.poke, ([0] + pokes).flatMap { Support.bytes(of: $0) })
    }
    let found = try sandbox.directoryContains(CapHash.refused)
    #expect(!found)
  }

  @Test(arguments: interesting)
  func aHostCallsArgumentIsReadOnlyWhereRingThreeCouldReadIt(address: UInt64) throws {
    var functions = HostFunctions()
    functions.register(901, name: "length") { call in Support.bytes(of: UInt64(call.argument.count)) }
    var sandbox = try HostileGuest.template(SandboxConfiguration(), functions).makeSandbox()
    for length in [1, 4096, 4097, 1 << 20, (16 << 20) + 1, .max] as [UInt64] {
      let code = Support.code {
        let answer = try Support.u64(
          sandbox.call(HostileGuest.hostCall, HostileGuest.words(901, address, length)))
        #expect(answer == [0, 8] || answer == [UInt64(GuestStatus.badPayload), 0])
      }
      if address == MemoryMap.supervisorBase, length != .max { #expect(code == .protocolViolation) }
      #expect(
        code == nil || code == .protocolViolation || code == .fault(ProcessorException.any), "\(length)")
      if sandbox.isPoisoned { try sandbox.restore() }
    }
  }

  @Test func randomWritesToSharedMemoryAreContained() throws {
    var sandbox = try HostileGuest.template().makeSandbox()
    let directory = try sandbox.bootInfo().directoryAddress
    var random = Splitmix(state: 0x6e75_6231)
    for round in 0..<(Machine.isLong ? 20_000 : 400) {
      var pokes: [UInt64] = []
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let base = [MemoryMap.guestControl, MemoryMap.logBase, MemoryMap.resultBase, directory].randomElement(
          using: &random)
        let width: UInt64 = [1, 2, 4, 8].randomElement(using: &random) ?? 8
        let value: UInt64? =
          Bool.random(using: &random) ? random.next() : Self.interesting.randomElement(using: &random)
        let offset = UInt64.random(in: 0..<128, using: &random) / width * width
        pokes.append((base ?? 0) + offset)
        pokes.append(width)
        pokes.append(value ?? 0)
      }
      let end: HostileGuest.End =
        round % 16 == 0 ? .spinning : Bool.random(using: &random) ? .returning : .ringing
      try attack(&sandbox, pokes, end, "round \(round): \(pokes) \(end)")
    }
  }
}

extension ProcessorException {
  static var any: ProcessorException {
    ProcessorException(
      vector: 14, errorCode: 0, instructionPointer: 0, stackPointer: 0, flags: 0, address: 0,
      registers: GeneralRegisters())
  }
}

/// splitmix64, so that a failing round can be run again.
struct Splitmix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }
}
