// The C side of the kit, as nub_guest.h documents it. Swift authors get the same through GuestCall.
public import CNubGuest
import NubCap

@c(nub_reserve)
public func nubReserve(_ call: UnsafeMutablePointer<nub_call>?, _ length: Int) -> UnsafeMutablePointer<UInt8>?
{
  guard let call, length >= 0, length <= call.pointee.output_capacity - call.pointee.output_length else {
    return nil
  }
  let start = call.pointee.output + call.pointee.output_length
  call.pointee.output_length += length
  return start
}

@c(nub_write)
public func nubWrite(
  _ call: UnsafeMutablePointer<nub_call>?, _ bytes: UnsafeRawPointer?, _ length: Int
) -> UInt32 {
  guard let target = nubReserve(call, length) else { return NUB_STATUS_RESULT_TOO_LARGE }
  if let bytes { UnsafeMutableRawPointer(target).copyMemory(from: bytes, byteCount: length) }
  return 0
}

@c(nub_fail)
public func nubFail(
  _ call: UnsafeMutablePointer<nub_call>?, _ status: UInt32, _ message: UnsafeRawPointer?, _ length: Int
) -> UInt32 {
  guard let call else { return status }
  call.pointee.output_length = 0
  _ = nubWrite(call, message, max(0, min(length, call.pointee.output_capacity)))
  return status
}

@c(nub_cap)
public func nubCap(
  _ call: UnsafeMutablePointer<nub_call>?, _ hash: UnsafePointer<UInt8>?,
  _ wire: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ length: UnsafeMutablePointer<Int>?
) -> UInt32 {
  give(call, hash, wire, length) { (runtime, hash, call) throws(GuestError) in
    try runtime.cap(hash, for: call)
  }
}

@c(nub_cap_data)
public func nubCapData(
  _ call: UnsafeMutablePointer<nub_call>?, _ hash: UnsafePointer<UInt8>?,
  _ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ length: UnsafeMutablePointer<Int>?
) -> UInt32 {
  give(call, hash, bytes, length) { (runtime, hash, call) throws(GuestError) in
    try runtime.data(hash, for: call)
  }
}

private func give(
  _ call: UnsafeMutablePointer<nub_call>?, _ hash: UnsafePointer<UInt8>?,
  _ bytes: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ length: UnsafeMutablePointer<Int>?,
  _ get: (GuestRuntime, CapHash, UnsafeMutablePointer<nub_call>) throws(GuestError) -> UnsafeRawBufferPointer
) -> UInt32 {
  guard let call, let hash, let key = CapHash(UnsafeRawBufferPointer(start: hash, count: CapHash.byteCount))
  else {
    return NUB_STATUS_BAD_PAYLOAD
  }
  do throws(GuestError) {
    let found = try get(GuestRuntime.of(call), key, call)
    bytes?.pointee = found.baseAddress?.assumingMemoryBound(to: UInt8.self)
    length?.pointee = found.count
    return 0
  } catch {
    return error.answer(call)
  }
}

@c(nub_log)
public func nubLog(
  _ call: UnsafeMutablePointer<nub_call>?, _ level: UInt32, _ message: UnsafeRawPointer?, _ length: Int
) {
  guard let call, length >= 0 else { return }
  GuestRuntime.of(call).writeLog(
    level: level, function: call.pointee.function,
    message: UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : length))
}

@c(nub_host_call)
public func nubHostCall(
  _ call: UnsafeMutablePointer<nub_call>?, _ function: UInt32, _ argument: UnsafeRawPointer?,
  _ argumentLength: Int,
  _ answer: UnsafeMutablePointer<UnsafePointer<UInt8>?>?, _ answerLength: UnsafeMutablePointer<Int>?
) -> UInt32 {
  guard let call, argumentLength >= 0 else { return NUB_STATUS_BAD_PAYLOAD }
  let (status, bytes) = GuestRuntime.of(call).hostCall(
    function, UnsafeRawBufferPointer(start: argument, count: argument == nil ? 0 : argumentLength))
  answer?.pointee = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
  answerLength?.pointee = bytes.count
  return status
}

@c(nub_abort)
public func nubAbort(
  _ call: UnsafeMutablePointer<nub_call>?, _ code: UInt32, _ message: UnsafeRawPointer?, _ length: Int
) -> Never {
  if let call {
    GuestRuntime.of(call).abort(
      code: code, message: UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : max(length, 0)))
  }
  // The host does not come back from an abort. A guest that is entered all the same, or that aborts without isolation,
  // ends here.
  while true { nub_cpu_fault_invalid_opcode() }
}
