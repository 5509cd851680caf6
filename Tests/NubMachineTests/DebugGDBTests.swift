import Foundation
import NubABI
import Synchronization
import Testing

@testable import NubMachine

@Suite(.enabled(if: GDB.isThere), .serialized) struct GDBTests {
  private static let template: Result<SandboxTemplate, any Error> = Result {
    var configuration = SandboxConfiguration()
    configuration.isDebuggable = true
    return try SandboxTemplate(kvm: try GuestImage.builtIn(), configuration: configuration)
  }

  /// Runs gdb beside `calls`, which the sandbox begins when gdb is being started.
  private func debug(
    _ sandbox: inout Sandbox, _ server: DebugServer, _ commands: [String], presses: Bool = false,
    calls: (inout Sandbox) throws -> Void
  ) throws -> String {
    let folder = try TemporaryFolder()
    let image = try folder.image()
    let said = Mutex<Result<String, any Error>?>(nil)
    let done = DispatchSemaphore(value: 0)
    let connected = DispatchSemaphore(value: 0)
    let attached = sandbox.debugTarget
    let target = try #require(attached)
    let thread = Thread {
      let result = Result {
        try GDB.run([image], ["target remote 127.0.0.1:\(server.port)"] + commands) { process in
          guard presses else { return }
          // Ctrl-C, when gdb has let the guest go on and the guest runs.
          while !target.isRunning { usleep(1000) }
          kill(process, SIGINT)
        }
      }
      said.withLock { $0 = result }
      // A gdb that never came must not leave the test waiting.
      connected.signal()
      done.signal()
    }
    thread.start()
    let watcher = Thread {
      while !target.isHeld, said.withLock({ $0 == nil }) { usleep(1000) }
      connected.signal()
    }
    watcher.start()
    connected.wait()
    try calls(&sandbox)
    done.wait()
    return try #require(said.withLock { $0 }).get()
  }

  @Test func gdbSetsABreakpointLooksStepsAndGoesOn() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let said = try debug(
      &sandbox, server,
      [
        "break *nub_fn_16_counter", "continue", "info registers rip", "bt", "x/i $rip", "stepi", "stepi",
        "info registers rip",
        "p $xmm1", "delete", "detach",
      ]
    ) { (sandbox: inout Sandbox) throws in
      // The breakpoint is hit in the second call.
      #expect(try sandbox.call(FunctionID.echo, [1, 2]) == [1, 2])
      #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
    }
    #expect(said.contains(/Breakpoint 1, 0x[0-9a-f]+ in nub_fn_16_counter/), "\(said)")
    #expect(said.contains("nub_entry"), "\(said)")
    #expect(said.contains(/=> 0x[0-9a-f]+ <nub_fn_16_counter>:\s+push\s+%rbp/), "\(said)")
    #expect(said.contains(/<nub_fn_16_counter\+4>/), "\(said)")
    #expect(said.contains("v4_float"), "\(said)")
    // Nothing is left of the debugger.
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [2])
  }

  @Test func gdbChangesRegistersAndMemory() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let said = try debug(
      &sandbox, server,
      [
        // System V ABI: the call's frame is the first argument; its third word is the payload's length, at 16 the length.
        "break *nub_fn_1_echo", "continue", "p/x *(unsigned long *)($rdi + 16)",
        "set var *(unsigned long *)($rdi + 16) = 2", "set $r11 = 0x1234", "p/x $r11",
        "set $xmm5.v4_int32[1] = 77",
        "p $xmm5.v4_int32[1]", "detach",
      ]
    ) { (sandbox: inout Sandbox) throws in
      #expect(try sandbox.call(FunctionID.echo, [9, 8, 7, 6]) == [9, 8])
    }
    #expect(said.contains("= 0x4"), "\(said)")
    #expect(said.contains("= 0x1234"), "\(said)")
    #expect(said.contains("= 77"), "\(said)")
    try sandbox.restore()
    #expect(try sandbox.call(FunctionID.echo, [9, 8, 7, 6]) == [9, 8, 7, 6])
  }

  @Test func aRestoreUndoesWhatGDBWroteIntoCode() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    // `mov $77, %eax; ret` in the place of the function: it answers with the status 77.
    _ = try debug(
      &sandbox, server,
      [
        "break *nub_fn_16_counter", "set var *(unsigned long *)&nub_fn_16_counter = 0xc30000004db8",
        "delete", "detach",
      ]
    ) { (sandbox: inout Sandbox) throws in
      #expect(Support.code { _ = try sandbox.call(FunctionID.counter) } == .guestError(status: 77))
    }
    try sandbox.restore()
    #expect(try Support.u64(sandbox.call(FunctionID.counter)) == [1])
  }

  @Test func ctrlCStopsARunningGuestAndKillEndsIt() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let said = try debug(
      &sandbox, server,
      ["continue", "bt", "kill"], presses: true
    ) { (sandbox: inout Sandbox) throws in
      let code = Support.code { _ = try sandbox.call(FunctionID.spin, Support.bytes(of: UInt64(0))) }
      #expect(code == .cancelled)
    }
    #expect(said.contains("SIGINT"), "\(said)")
    #expect(said.contains(/#\d .*spin/), "\(said)")
    let isPoisoned = sandbox.isPoisoned
    #expect(isPoisoned)
  }

  @Test func gdbSeesAFaultWhereItHappens() throws {
    var sandbox = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let said = try debug(&sandbox, server, ["continue", "x/i $rip", "bt", "continue"]) {
      (sandbox: inout Sandbox) throws in
      let error = #expect(throws: MachineError.self) {
        try sandbox.call(FunctionID.fault, [FaultKind.nullWrite.rawValue])
      }
      guard case .fault(let fault)? = error?.code else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(fault.vector == 14 && fault.address == 0)
    }
    #expect(said.contains("signal SIGSEGV"), "\(said)")
    #expect(said.contains(/movb\s+\$0x1,/), "\(said)")
    #expect(said.contains("nub_entry"), "\(said)")
  }

  @Test func breakpointsOfOneSandboxAreNotInAnother() throws {
    var sandbox = try Self.template.get().makeSandbox()
    var other = try Self.template.get().makeSandbox()
    let server = try DebugServer()
    try sandbox.attach(server)
    let said = try debug(&sandbox, server, ["break *nub_fn_1_echo", "continue", "detach"]) {
      (sandbox: inout Sandbox) throws in
      #expect(try other.call(FunctionID.echo, [3]) == [3])
      #expect(try sandbox.call(FunctionID.echo, [4]) == [4])
    }
    #expect(said.contains("Breakpoint 1, "), "\(said)")
    #expect(try other.call(FunctionID.echo, [5]) == [5])
  }

  @Test func aSandboxThatIsNotDebuggableRefusesADebugger() throws {
    var sandbox = try Support.sandbox()
    let server = try DebugServer()
    #expect(Support.code { try sandbox.attach(server) } == .configurationInvalid)
  }
}
