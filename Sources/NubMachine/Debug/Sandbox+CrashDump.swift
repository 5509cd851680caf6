import Glibc
import Logging
import Synchronization

extension Sandbox {
  /// Writes the guest's registers and memory to an ELF core file that gdb opens beside the image
  /// (`gdb image.elf file.core`). After a fault the registers are those at the fault.
  ///
  /// The file is readable by its owner alone, and appears under its name when it is complete.
  /// - Parameter sizeLimit: the most bytes that the file may have.
  @discardableResult
  public mutating func crashDump(to path: String, sizeLimit: UInt64 = 256 << 20) throws(MachineError)
    -> CrashDump
  {
    try writeDump(to: path, sizeLimit: sizeLimit, because: poison, text: "on demand")
  }

  /// Writes a dump of what `error` ended with, where a directory for dumps is configured and ``DumpLimit`` allows it.
  mutating func recordCrash(_ error: MachineError) {
    guard let configuration = crashDumps else { return }
    switch error.code {
    case .fault, .abort: break
    case .deadlineExceeded, .cancelled, .protocolViolation, .guestError, .tooLarge, .poisoned, .capInvalid,
      .hashMismatch, .imageInvalid, .configurationInvalid, .kvmUnavailable, .system:
      return
    }
    let now = monotonicNanoseconds()
    let (skipped, isFirstSkipped) = template.dumpLimit.withLock { ($0.take(now: now), $0.skipped == 1) }
    guard let skipped else {
      if isFirstSkipped {
        template.logger.warning(
          "crash dumps are left out: guests fault too often", metadata: ["sandbox": "\(id)"])
      }
      return
    }
    do throws(MachineError) {
      let dump = try writeDump(
        to: configuration.newPath(sandbox: id), sizeLimit: configuration.sizeLimit, because: error, text: "")
      lastCrashDump = dump
      configuration.prune()
      template.logger.error(
        "crash dump written",
        metadata: [
          "sandbox": "\(id)", "path": "\(dump.path)", "bytes": "\(dump.size)",
          "truncated": "\(dump.isTruncated)", "skipped_before": "\(skipped)", "reason": "\(error.message)",
        ])
    } catch {
      template.logger.error(
        "crash dump not written", metadata: ["sandbox": "\(id)", "reason": "\(error.message)"])
    }
  }

  /// Serves the dumps that other threads have asked for while this call runs.
  mutating func serveDumpRequests(_ state: inout EntryState) {
    let requests = handle.takeDumpRequests()
    guard !requests.isEmpty else { return }
    let began = monotonicNanoseconds()
    // A dump must not make the call late, nor is it charged to it.
    defer {
      let spent = monotonicNanoseconds() &- began
      if state.callSeen != 0 { state.callSeen &+= spent }
      state.clock.pause(nanoseconds: spent)
    }
    for request in requests {
      let path = request.path
      let result: Result<CrashDump, MachineError>
      do throws(MachineError) {
        result = .success(
          try writeDump(to: path, sizeLimit: request.sizeLimit, because: nil, text: "of a running guest"))
      } catch {
        result = .failure(error)
      }
      request.completion(result)
    }
  }

  private func writeDump(
    to path: String, sizeLimit: UInt64, because error: MachineError?, text: String
  ) throws(MachineError) -> CrashDump {
    guard case .machine(let machine) = body else {
      throw MachineError(
        .configurationInvalid, "the in-process engine has no machine to dump; use --engine kvm")
    }
    var reason = CoreFile.Reason(signal: SIGINT, text: "sandbox \(id): \(error?.message ?? text)")
    var exception: ProcessorException?
    switch error?.code {
    case .fault(let fault)?:
      exception = fault
      reason.signal = fault.signal
      reason.address = fault.vector == 14 ? fault.address : fault.instructionPointer
    case .abort?: reason.signal = SIGABRT
    default: break
    }
    return try CoreWriter(machine: machine, sizeLimit: sizeLimit).write(
      try machine.coreRegisters(exception), reason, to: path)
  }
}

extension ProcessorException {
  /// The signal that a Linux process would get.
  var signal: Int32 {
    switch vector {
    case 0, 16, 19: SIGFPE
    case 1, 3: SIGTRAP
    case 6, 7: SIGILL
    case 17: SIGBUS
    default: SIGSEGV
    }
  }
}
