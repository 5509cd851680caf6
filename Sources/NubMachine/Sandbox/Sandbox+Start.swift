import CNubABI
import NubABI

extension Sandbox {
  /// Runs the guest from its entry point to its first doorbell, and keeps that state to return to.
  mutating func start() throws(MachineError) {
    guard case .machine(let machine) = body else { return }
    let call = handle.begin()
    machine.arm()
    DeadlineTimer.shared.schedule(
      handle, at: monotonicNanoseconds() &+ template.configuration.startTimeout.nanoseconds)
    var error: MachineError?
    var isReady = false
    while !isReady, error == nil {
      let asked = handle.current()
      if asked.has(.tick) || asked.has(.cancel) {
        error = MachineError(
          .imageInvalid, "the guest did not get ready within \(template.configuration.startTimeout)")
        break
      }
      switch machine.enter() {
      case .interrupted: continue
      case .doorbell:
        switch unsafe areas.control.pointee.reason {
        case NUB_DOORBELL_READY: isReady = true
        case let reason:
          error = MachineError(.imageInvalid, "the guest began with doorbell \(reason), not with ready")
        }
      case .exception(let vector):
        let what = machine.exception(vector: vector).map { "\($0)" } ?? "exception \(vector)"
        error = MachineError(.imageInvalid, "the guest faulted while it started: \(what)")
      case .unexpected(let what):
        error = MachineError(.imageInvalid, "the guest did not start: \(what)")
      }
    }
    machine.disarm()
    handle.end()
    _ = call
    if let error { throw error }
    let control = unsafe areas.control.pointee
    guard control.magic == NUB_GUEST_MAGIC, control.abi_version == NUB_ABI_VERSION else {
      throw MachineError(
        .imageInvalid,
        "the image speaks version \(control.abi_version) of the guest ABI, this nub \(NUB_ABI_VERSION); build it again"
      )
    }
    pristine = try Snapshot(of: machine)
  }

  /// Returns the sandbox to the state right after its start: memory, registers, FPU, directory. Nothing of its past is
  /// left in it, and a poisoned sandbox is in service again. Costs in proportion to what was touched since.
  public mutating func restore() throws(MachineError) {
    switch body {
    case .machine(let machine):
      guard let pristine else { throw MachineError(.poisoned, "the sandbox never started") }
      do throws(MachineError) {
        try pristine.restore(machine)
      } catch {
        throw poisoning(error)
      }
    case .inProcess(let guest):
      unsafe areas.control.update(repeating: nub_guest_control(), count: 1)
      try guest.restart()
      directory = nil
      info = nil
    }
    clearHostArea()
    log = GuestLog()
    poison = nil
  }

  /// Wipes what the host itself wrote for the guest.
  private mutating func clearHostArea() {
    unsafe clear(areas.request, requestHighWater)
    unsafe clear(areas.response, responseHighWater)
    requestHighWater = 0
    responseHighWater = 0
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
