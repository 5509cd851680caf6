// Functions for operators and tests: they show kept state, deadlines, faults and errors on a live system.
import CNubGuest
import NubABI

@c(nub_fn_16_counter)
public func counter(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    call.runtime.counter &+= 1
    try call.write(call.runtime.counter)
  }
}

@c(nub_fn_17_spin)
public func spin(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let microseconds = try call.number(as: UInt64.self)
    let runtime = call.runtime
    if microseconds == 0, !runtime.isIsolated {
      throw .unsupported("an endless loop could not be stopped in this engine")
    }
    let (ticks, overflow) = microseconds.multipliedReportingOverflow(by: runtime.host.pointee.tsc_khz)
    let wanted = microseconds == 0 || overflow ? UInt64.max : ticks / 1000
    let began = nub_cpu_ticks()
    while nub_cpu_ticks() &- began < wanted {}
  }
}

@c(nub_fn_18_fault)
public func fault(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let number = try call.number(as: UInt8.self)
    guard let kind = FaultKind(rawValue: number) else { throw .badPayload("there is no such fault") }
    guard call.runtime.isIsolated else { throw .unsupported("a fault would end the worker in this engine") }
    switch kind {
    case .invalidOpcode: nub_cpu_fault_invalid_opcode()
    case .nullRead: nub_cpu_fault_read(0)
    case .nullWrite: nub_cpu_fault_write(0)
    case .writeToCode: nub_cpu_fault_write(nub_cpu_code_address())
    case .executeData:
      // The page behind the result's header is data; 0xC3 is a return, had it been executed.
      let code = try call.reserve(1)
      code[0] = 0xc3
      nub_cpu_fault_execute(UInt64(UInt(bitPattern: code.baseAddress)))
    case .stackOverflow: nub_cpu_fault_stack()
    case .divideByZero: nub_cpu_fault_divide()
    case .privilegedInstruction: nub_cpu_fault_privileged()
    case .deniedPort: nub_cpu_fault_port()
    case .abort:
      let message: StaticString = "abort was asked for"
      message.withUTF8Buffer { text in
        call.runtime.abort(code: 9, message: UnsafeRawBufferPointer(text))
      }
    }
    throw GuestError(status: 1, message: "the fault did not happen")
  }
}

@c(nub_fn_19_fail)
public func fail(_ call: NubCall?) -> UInt32 {
  guard let call else { return NUB_STATUS_BAD_PAYLOAD }
  let payload = UnsafeRawBufferPointer(start: call.pointee.payload, count: call.pointee.payload_length)
  guard payload.count >= 4 else {
    return GuestCall.run(call) { _ throws(GuestError) in
      throw .badPayload("the payload is not a u32 and a message")
    }
  }
  let status = UInt32(littleEndian: payload.loadUnaligned(as: UInt32.self))
  return nub_fail(call, status, call.pointee.payload + 4, payload.count - 4)
}

@c(nub_fn_20_alloc)
public func alloc(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let size = try call.number(as: UInt64.self)
    guard size < UInt64(Int.max), let memory = allocateBytes(max(Int(size), 1), alignment: 16) else {
      throw .outOfMemory
    }
    for offset in stride(from: 0, to: Int(size), by: 4096) {
      memory.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
    }
    releaseBytes(memory)
    try call.write(size)
  }
}
