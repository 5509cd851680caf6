import CNubABI
import NubABI
import Synchronization

extension Sandbox {
  /// Brings the guest to its first doorbell, reads once what it says about itself, and keeps that state to return to.
  ///
  /// All sandboxes of a template would do the same up to there, so only the first one does, and the others begin with the
  /// state that it had: that spares an entry of the VM, and they share the memory of it.
  mutating func start() throws(MachineError) {
    guard case .machine(let machine) = body else { return try readBootInfo() }
    if let started = machine.template.started.withLock({ $0 }) {
      try started.start(machine)
      try readBootInfo()
      pristine = started
      return
    }
    try runUntilReady(machine)
    try readBootInfo()
    let snapshot = try Snapshot(of: machine)
    machine.template.started.withLock { $0 = $0 ?? snapshot }
    pristine = snapshot
  }

  private func runUntilReady(_ machine: VirtualMachine) throws(MachineError) {
    _ = handle.begin()
    machine.arm()
    DeadlineTimer.shared.schedule(
      handle, at: monotonicNanoseconds() &+ template.configuration.startTimeout.nanoseconds)
    defer {
      machine.disarm()
      handle.end()
    }
    while true {
      if handle.current().has(.tick) {
        throw MachineError(
          .imageInvalid, "the guest did not get ready within \(template.configuration.startTimeout)")
      }
      switch machine.enter() {
      case .interrupted: continue
      case .doorbell:
        let reason = unsafe areas.control.pointee.reason
        guard reason == NUB_DOORBELL_READY else {
          throw MachineError(.imageInvalid, "the guest began with doorbell \(reason), not with ready")
        }
        return
      case .exception(let vector):
        let what = machine.exception(vector: vector).map { "\($0)" } ?? "exception \(vector)"
        throw MachineError(.imageInvalid, "the guest faulted while it started: \(what)")
      case .unexpected(let what):
        throw MachineError(.imageInvalid, "the guest did not start: \(what)")
      }
    }
  }

  /// Checks the guest's answer to "who are you", before any call has run: nothing that a call does later changes what
  /// the host believes about the guest's directory.
  private mutating func readBootInfo() throws(MachineError) {
    let magic = unsafe areas.control.pointee.magic
    let version = unsafe areas.control.pointee.abi_version
    guard magic == NUB_GUEST_MAGIC, version == NUB_ABI_VERSION else {
      throw MachineError(
        .imageInvalid,
        "the image speaks version \(version) of the guest ABI, this nub \(NUB_ABI_VERSION); build it again")
    }
    let address = unsafe areas.control.pointee.boot_info
    guard let bytes = copyFromGuest(at: address, count: UInt64(MemoryLayout<nub_boot_info>.size)) else {
      throw MachineError(
        .imageInvalid, "the boot info at \(hexadecimal(address)) lies outside the guest's memory")
    }
    let info = try BootInfo(bytes, expectedCapacity: template.configuration.directoryCapacity)
    self.info = info
    directory = try makeDirectoryReader(info)
  }

  /// Returns the sandbox to the state right after its start: memory, registers, FPU, directory. Nothing of its past is
  /// left in it, and a poisoned sandbox is in service again. Costs in proportion to what was touched since.
  public mutating func restore() throws(MachineError) {
    switch body {
    case .machine(let machine):
      guard let pristine else { throw MachineError(.poisoned, "the sandbox never started") }
      debugTarget?.willUse()
      defer { debugTarget?.didUse() }
      debugTarget?.undoWrites()
      do throws(MachineError) {
        try pristine.restore(machine)
      } catch {
        throw poisoning(error)
      }
    case .inProcess(let guest):
      unsafe areas.control.update(repeating: nub_guest_control(), count: 1)
      try guest.restart()
      try readBootInfo()
    }
    clearHostArea()
    hostFunctions = template.hostFunctions
    log = GuestLog()
    usesLooked.clock = 0
    poison = nil
    template.metrics.sandboxRestored()
  }

  /// Wipes what the host itself wrote for the guest.
  private mutating func clearHostArea() {
    unsafe clear(areas.request, requestHighWater)
    unsafe clear(areas.response, responseHighWater)
    requestHighWater = 0
    responseHighWater = 0
    sequence = 0
    unsafe areas.host.pointee.sequence = 0
    unsafe areas.host.pointee.call_count = 0
    unsafe areas.host.pointee.request_length = 0
    unsafe areas.host.pointee.drained = 0
    unsafe areas.host.pointee.host_call_status = 0
    unsafe areas.host.pointee.host_call_length = 0
    unsafe areas.host.pointee.log_drained = 0
  }

  private func clear(_ area: UnsafeMutableRawBufferPointer, _ highWater: Int) {
    guard highWater > 0 else { return }
    let used = unsafe UnsafeMutableRawBufferPointer(rebasing: area[..<min(highWater, area.count)])
    unsafe used.initializeMemory(as: UInt8.self, repeating: 0)
  }
}
