import CNubABI
import NubABI

/// The host's views of the memory that it shares with a guest.
///
/// The pointers live as long as the sandbox that made this, which is the only one to keep it. What the guest may write
/// (control, log, result) is hostile: copy a field once, check the copy, use the copy. While the vCPU is outside the
/// guest nobody else writes there.
@safe struct SharedAreas: @unchecked Sendable {
  // Safe to hold and pass: every use of one of the views says `unsafe` where it happens.
  // Sendable: plain addresses, used by whoever owns the sandbox.
  let host: UnsafeMutablePointer<nub_host_control>
  let request: UnsafeMutableRawBufferPointer
  let response: UnsafeMutableRawBufferPointer
  let control: UnsafeMutablePointer<nub_guest_control>
  let log: UnsafeMutableRawBufferPointer
  let result: UnsafeMutableRawBufferPointer

  /// Fills in the host control page: what a guest must know before its first instruction.
  func initialiseHostControl(
    _ addresses: nub_host_control, configuration: SandboxConfiguration, seed: (UInt64, UInt64),
    tscKilohertz: UInt64
  ) {
    var control = addresses
    control.magic = NUB_HOST_MAGIC
    control.abi_version = NUB_ABI_VERSION
    control.directory_capacity = configuration.directoryCapacity
    control.request_size = unsafe UInt64(request.count)
    control.response_size = unsafe UInt64(response.count)
    control.result_size = unsafe UInt64(result.count)
    control.log_size = unsafe UInt64(log.count)
    control.heap_size = configuration.heapSize
    control.max_result = configuration.maximumResult
    control.seed = seed
    control.tsc_khz = tscKilohertz
    control.log_level = GuestLog.number(of: configuration.logLevel)
    unsafe host.pointee = control
  }
}

extension SharedAreas {
  /// The areas of a virtual machine.
  init?(_ machine: VirtualMachine) {
    let space = machine.template.space
    func view(_ region: AddressSpace.Region, _ machine: VirtualMachine) -> UnsafeMutableRawBufferPointer? {
      guard let mapping = space.mapping(region) else { return nil }
      return unsafe mapping.slot == .host
        ? machine.hostArea.bytes(at: mapping.offset, count: mapping.size)
        : machine.guestArea.bytes(at: mapping.offset, count: mapping.size)
    }
    guard let host = unsafe view(.hostControl, machine)?.baseAddress,
      let control = unsafe view(.guestControl, machine)?.baseAddress,
      let request = unsafe view(.request, machine), let response = unsafe view(.response, machine),
      let log = unsafe view(.log, machine),
      let result = unsafe view(.result, machine)
    else { return nil }
    unsafe self.init(
      host: host.bindMemory(to: nub_host_control.self, capacity: 1), request: request, response: response,
      control: control.bindMemory(to: nub_guest_control.self, capacity: 1), log: log, result: result)
  }

  /// Where a virtual machine's guest finds them.
  static var virtualAddresses: nub_host_control {
    var control = nub_host_control()
    control.request_base = MemoryMap.requestBase
    control.response_base = MemoryMap.responseBase
    control.result_base = MemoryMap.resultBase
    control.control_base = MemoryMap.guestControl
    control.log_base = MemoryMap.logBase
    control.heap_base = MemoryMap.heapBase
    return control
  }
}
