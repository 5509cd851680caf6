import Foundation
import NubABI
import NubELF
import Synchronization
import Testing

@testable import NubMachine

@Suite(.enabled(if: GDB.isThere)) struct CrashDumpTests {
  @Test func gdbOpensTheDumpOfAFault() throws {
    let folder = try TemporaryFolder()
    var sandbox = try Support.sandbox()
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(FunctionID.fault, [FaultKind.nullWrite.rawValue])
    }
    guard case .fault(let fault)? = error?.code else {
      Issue.record("\(String(describing: error))")
      return
    }
    let dump = try sandbox.crashDump(to: "\(folder.path)/fault.core")
    let said = try GDB.run(
      [try folder.image(), dump.path],
      [
        "info registers", "bt", "x/i $rip", "p $_siginfo._sifields._sigfault.si_addr", "p $xmm0",
        "x/2i 0x101000",
      ])
    #expect(said.contains("signal SIGSEGV"))
    #expect(said.contains("rip            \(hexadecimal(fault.instructionPointer))"))
    #expect(said.contains("rsp            \(hexadecimal(fault.stackPointer))"))
    #expect(said.contains("rdi            \(hexadecimal(fault.registers.rdi))"))
    // The fault function stores through a register with a single-byte move.
    #expect(said.contains(/=> 0x[0-9a-f]+ <[^>]+>:\s+movb\s+\$0x1,/))
    #expect(said.contains(/#\d .*nub_fn_18_fault/))
    #expect(said.contains("nub_entry"))
    #expect(said.contains("v4_float"))
    #expect(said.contains(/out\s+%al,\$0xe1/))
  }

  @Test func theDumpOfASandboxOnDemandLeavesItAsItWas() throws {
    let folder = try TemporaryFolder()
    var sandbox = try Support.sandbox()
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    let dump = try sandbox.crashDump(to: "\(folder.path)/demand.core")
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [2])
    try sandbox.restore()
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])

    let said = try GDB.run([try folder.image(), dump.path], ["bt", "info registers rip cs"])
    #expect(said.contains("nub_entry"))
    #expect(said.contains("cs             0x33"))
    #expect(folder.names == ["demand.core", "image.elf"])
    let attributes = try FileManager.default.attributesOfItem(atPath: dump.path)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    #expect((attributes[.size] as? NSNumber)?.uint64Value == dump.size)
    // 64 MiB of heap and more of areas, of which next to nothing was touched.
    #expect(dump.size < 8 << 20)
    #expect(!dump.isTruncated)
  }

  @Test func aRunningGuestIsDumpedAndGoesOn() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/running.core"
    var sandbox = try Support.sandbox()
    let handle = sandbox.interruptHandle
    let outcome = Mutex<Result<CrashDump, MachineError>?>(nil)
    let isInside = Atomic(false)
    let asker = Thread {
      // A call is under way a moment before the guest has been entered for it.
      while !isInside.load(ordering: .acquiring) { sched_yield() }
      handle.requestCrashDump(to: path) { result in
        outcome.withLock { $0 = result }
        handle.interrupt()
      }
    }
    asker.start()
    // The guest spins until the dump is there; only then is it interrupted.
    let forever = Support.bytes(of: UInt64(0))
    var code: MachineError.Code?
    forever.withUnsafeBytes { forever in
      let calls = [
        GuestCall(function: FunctionID.echo, payload: forever),
        GuestCall(function: FunctionID.spin, payload: forever),
      ]
      calls.withUnsafeBufferPointer { calls in
        sandbox.runBatch(calls) { index, outcome, _ in
          if index == 0 { isInside.store(true, ordering: .releasing) }
          if case .failed(let error) = outcome { code = error.code }
        }
      }
    }
    #expect(code == .cancelled)
    let dump = try #require(try outcome.withLock { try $0?.get() })
    let said = try GDB.run([try folder.image(), dump.path], ["bt", "x/i $rip"])
    #expect(said.contains(/#\d .*spin/))
    #expect(said.contains("SIGINT"))
  }

  @Test func aDumpOfNothingRunningIsNotTaken() throws {
    let sandbox = try Support.sandbox()
    let handle = sandbox.interruptHandle
    #expect(handle.requestCrashDump(to: "/nonexistent/x.core") { _ in Issue.record("called") } == .notRunning)
    _ = consume sandbox
  }

  @Test func faultsAreDumpedByThemselvesAndTheOldestDumpsGo() throws {
    let folder = try TemporaryFolder()
    var configuration = SandboxConfiguration()
    var dumps = CrashDumpConfiguration(directory: folder.path)
    dumps.keep = 2
    configuration.crashDumps = dumps
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
    var sandbox = try template.makeSandbox()
    try Data().write(to: folder.url.appending(path: "not-a-dump.core"))
    var written: [String] = []
    for kind in [FaultKind.invalidOpcode, .abort, .stackOverflow, .divideByZero] {
      _ = try? sandbox.call(FunctionID.fault, [kind.rawValue])
      let dump = sandbox.lastCrashDump
      written.append(URL(filePath: try #require(dump).path).lastPathComponent)
      try sandbox.restore()
    }
    #expect(folder.names.filter { $0.hasPrefix("nub-guest-") } == Array(written.suffix(2)))
    #expect(folder.names.contains("not-a-dump.core"))

    // Neither a guest's error nor a switched-off sandbox writes one.
    _ = try? sandbox.call(FunctionID.fail, [7, 0, 0, 0])
    sandbox.crashDumps = nil
    _ = try? sandbox.call(FunctionID.fault, [0])
    #expect(folder.names.filter { $0.hasPrefix("nub-guest-") } == Array(written.suffix(2)))
  }

  @Test func aGuestThatFaultsAgainAndAgainIsDumpedNowAndThen() throws {
    let folder = try TemporaryFolder()
    var configuration = SandboxConfiguration()
    configuration.crashDumps = CrashDumpConfiguration(directory: folder.path)
    let template = try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
    // What was earned long ago is not saved up, and the first that is dumped again says how many were not.
    var limit = DumpLimit()
    let hour: UInt64 = 3_600_000_000_000
    for _ in 0..<DumpLimit.burst { #expect(limit.take(now: hour) == 0) }
    for _ in 0..<5 { #expect(limit.take(now: hour) == nil) }
    #expect(limit.take(now: hour + DumpLimit.interval) == 5)
    #expect(limit.take(now: hour + DumpLimit.interval) == nil)
    template.dumpLimit.withLock { $0 = limit }

    // The clock is the machine's, and may be less than an hour; a limit in the future allows nothing now.
    let later = monotonicNanoseconds() + 2 * hour
    template.dumpLimit.withLock { for _ in 0..<DumpLimit.burst { _ = $0.take(now: later) } }
    var sandbox = try template.makeSandbox()
    _ = try? sandbox.call(FunctionID.fault, [FaultKind.invalidOpcode.rawValue])
    #expect(sandbox.isPoisoned && sandbox.lastCrashDump == nil && folder.names.isEmpty)
    // On demand there is one all the same.
    try sandbox.crashDump(to: "\(folder.path)/wanted.core")
    #expect(folder.names == ["wanted.core"])
  }

  @Test func aDumpKeepsItsSizeLimitAndStillOpens() throws {
    let folder = try TemporaryFolder()
    var sandbox = try Support.sandbox()
    _ = try sandbox.call(FunctionID.echo, Support.bytes(count: 8 << 20))
    _ = try? sandbox.call(FunctionID.fault, [FaultKind.nullRead.rawValue])
    let dump = try sandbox.crashDump(to: "\(folder.path)/small.core", sizeLimit: 1 << 20)
    #expect(dump.isTruncated)
    #expect(dump.size <= 1 << 20)
    let said = try GDB.run([try folder.image(), dump.path], ["bt", "x/i $rip"])
    #expect(said.contains("nub_entry"))
    let core = try ELFFile([UInt8](Data(contentsOf: URL(filePath: dump.path))))
    #expect(core.kind == .core)
  }

  @Test func aDirectoryThatIsNoneIsRefusedEarly() {
    var configuration = SandboxConfiguration()
    configuration.crashDumps = CrashDumpConfiguration(directory: "/nonexistent")
    let code = Support.code {
      _ = try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
    }
    #expect(code == .configurationInvalid)
  }

  @Test func aFailedWriteLeavesNothingBehind() throws {
    let folder = try TemporaryFolder()
    var sandbox = try Support.sandbox()
    // The name is a folder, so the last step fails.
    try FileManager.default.createDirectory(
      at: folder.url.appending(path: "x.core"), withIntermediateDirectories: true)
    try Data().write(to: folder.url.appending(path: "x.core/file"))
    let path = "\(folder.path)/x.core"
    #expect(throws: MachineError.self) { try sandbox.crashDump(to: path) }
    #expect(folder.names == ["x.core"])
    #expect(try sandbox.call(FunctionID.echo, [1]) == [1])
  }

  @Test func whatADeadProcessLeftHalfWrittenGoesWithTheOldestDumps() throws {
    let folder = try TemporaryFolder()
    // A process that has ended, and this one.
    let ended = Process()
    ended.executableURL = URL(filePath: "/bin/true")
    try ended.run()
    ended.waitUntilExit()
    let names = [
      "nub-guest-1-1-1.core.partial-\(ended.processIdentifier)", "nub-guest-1-1-2.core.partial-\(getpid())",
      "other.core.partial-\(ended.processIdentifier)", "nub-guest-1-1-3.core.partial-x",
    ]
    for name in names { try Data().write(to: folder.url.appending(path: name)) }
    CrashDumpConfiguration(directory: folder.path).prune()
    #expect(folder.names == names.dropFirst().sorted())
  }

  @Test func aDumpOfARunningGuestDoesNotMakeItsCallLate() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/slow.core"
    // Whoever is told of the dump takes longer over it than the call has.
    var sandbox = try Support.sandbox()
    let handle = sandbox.interruptHandle
    let reader = Threads(1) { _ in
      while handle.requestCrashDump(to: path, completion: { _ in usleep(900_000) }) == .notRunning {
        sched_yield()
      }
    }
    // Spins for less than its deadline; with the dump it takes longer.
    _ = try sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(300_000)), deadline: .milliseconds(800))
    reader.join()
  }
}
