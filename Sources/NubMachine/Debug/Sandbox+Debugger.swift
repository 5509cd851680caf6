extension Sandbox {
  /// Whether ``attach(_:)`` has been called.
  public var hasDebugger: Bool { debugTarget != nil }

  /// Lets a debugger attach to this sandbox through `server`. While none is connected, nothing changes; once one is, the
  /// guest stops for it, and deadlines count from when it last went on.
  ///
  /// A call, or a restore, waits while the debugger holds a guest that is between calls.
  /// - Throws: where the sandbox was not made with ``SandboxConfiguration/isDebuggable``.
  public mutating func attach(_ server: DebugServer) throws(MachineError) {
    guard case .machine(let machine) = body, template.configuration.isDebuggable else {
      throw MachineError(
        .configurationInvalid, "this sandbox cannot be debugged; make it with the KVM engine and isDebuggable"
      )
    }
    let target = try DebugTarget(machine, handle)
    debugTarget = target
    debugAttachment = DebugAttachment(target: target)
    server.serve(target)
  }

  /// How a stop for the debugger ended, as an error; nil where the guest may go on.
  func outcome(_ resume: DebugTarget.Resume, _ state: inout EntryState) -> MachineError? {
    // The time that a person took counts for nothing.
    state.callSeen = monotonicNanoseconds()
    return resume == .kill ? MachineError(.cancelled, "the debugger ended the guest") : nil
  }
}
