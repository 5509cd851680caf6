import CNubABI

extension Sandbox {
  /// Runs the host function that the guest asks for and puts the answer into the response area.
  mutating func answerHostCall(_ batch: Batch, _ state: inout EntryState) {
    let function = unsafe areas.control.pointee.host_call_function
    let address = unsafe areas.control.pointee.host_call_argument
    let length = unsafe areas.control.pointee.host_call_length
    guard length <= template.configuration.maximumRequest,
      let argument = copyFromGuest(at: address, count: length)
    else {
      state.error = MachineError(
        .protocolViolation, "the argument of host function \(function) lies outside the guest's memory")
      return
    }
    let call = HostCall(
      argument: argument, sandbox: id, context: context, handle: handle,
      deadline: runningCallsEnd(batch, &state))
    var (status, answer): (UInt32, [UInt8]) = (HostError.failed, [])
    let name = hostFunctions.name(of: function)
    let began = template.metrics.isEnabled ? monotonicNanoseconds() : 0
    template.spans.hostFunction(name) {
      (status, answer) = hostFunctions.call(function, call)
      return status
    }
    if began != 0 {
      template.metrics.hostFunction(name, status: status, nanoseconds: monotonicNanoseconds() &- began)
    }
    if unsafe answer.count > areas.response.count
      || UInt64(answer.count) > template.configuration.maximumResponse
    {
      status = HostError.answerTooLarge
      answer = []
    }
    unsafe answer.withUnsafeBytes { bytes in unsafe areas.response.copyMemory(from: bytes) }
    responseHighWater = max(responseHighWater, answer.count)
    unsafe areas.host.pointee.host_call_status = status
    unsafe areas.host.pointee.host_call_length = UInt64(answer.count)
    if case .machine = body, call.timeLeft == .zero {
      state.error = lateness(batch.deadline(state.delivered) ?? 0)
    }
  }

  /// When the running call is late, monotonic nanoseconds; nil for never.
  private func runningCallsEnd(_ batch: Batch, _ state: inout EntryState) -> UInt64? {
    guard let deadline = batch.deadline(state.delivered) else { return nil }
    state.noteRunningCall(at: monotonicNanoseconds())
    let (end, overflow) = state.callSeen.addingReportingOverflow(deadline)
    return overflow ? nil : end
  }

  /// Copies bytes that a guest address points to. Nil where ring 3 could not read all of them itself.
  func copyFromGuest(at address: UInt64, count: UInt64) -> [UInt8]? {
    guard count > 0 else { return [] }
    switch body {
    case .machine(let machine):
      return unsafe machine.guestBytes(at: address, count: count).map { unsafe [UInt8]($0) }
    case .inProcess:
      // No isolation: the guest is this process.
      guard let start = unsafe UnsafeRawPointer(bitPattern: UInt(address)) else { return nil }
      return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: Int(count)))
    }
  }
}

extension VirtualMachine {
  /// A view of memory that ring 3 can read at `address`.
  func guestBytes(at address: UInt64, count: UInt64) -> UnsafeRawBufferPointer? {
    guard let place = template.space.locate(address, count: count) else { return nil }
    let bytes =
      switch place.slot {
      case .template: unsafe shared.bytes(at: place.offset, count: count)
      case .host: unsafe hostArea.bytes(at: place.offset, count: count)
      case .guest: unsafe guestArea.bytes(at: place.offset, count: count)
      }
    return unsafe bytes.map { UnsafeRawBufferPointer($0) }
  }
}
