public import CNubGuest
public import NubCap

/// One call, as its function sees it: the payload, where the result goes, caps by hash, logging, host functions.
///
/// It and every pointer it gives are valid until the function returns.
///
/// A guest function is an exported C function whose name says its id and its name, and a Swift function that does the
/// work and throws what went wrong:
///
///     @c(nub_fn_300_shout)
///     public func shout(_ call: NubCall?) -> UInt32 { GuestCall.run(call, shout) }
///
///     func shout(_ call: borrowing GuestCall) throws(GuestError) {
///       for byte in call.payload { try call.write(byte & 0xdf) }
///     }
public struct GuestCall: ~Copyable {
  let frame: UnsafeMutablePointer<nub_call>

  /// Runs a function's body and turns what it throws into the call's status. Short bodies can be written in place:
  /// `GuestCall.run(call) { call throws(GuestError) in … }`.
  public static func run(
    _ frame: UnsafeMutablePointer<nub_call>?, _ body: (borrowing GuestCall) throws(GuestError) -> Void
  ) -> UInt32 {
    guard let frame else { return NUB_STATUS_BAD_PAYLOAD }
    do throws(GuestError) {
      try body(GuestCall(frame: frame))
      return 0
    } catch {
      return error.answer(frame)
    }
  }

  /// The payload, in memory that the guest can only read.
  public var payload: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: frame.pointee.payload, count: frame.pointee.payload_length)
  }

  /// Appends to the result.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(GuestError) {
    guard bytes.count > 0 else { return }
    guard nub_write(frame, bytes.baseAddress, bytes.count) == 0 else { throw .resultTooLarge }
  }

  /// Appends a number, little-endian.
  public func write<Number: FixedWidthInteger>(_ number: Number) throws(GuestError) {
    var bytes = number.littleEndian
    guard nub_write(frame, &bytes, MemoryLayout<Number>.size) == 0 else { throw .resultTooLarge }
  }

  /// Appends a hash.
  public func write(_ hash: CapHash) throws(GuestError) {
    let status = hash.withUnsafeBytes { nub_write(frame, $0.baseAddress, $0.count) }
    guard status == 0 else { throw .resultTooLarge }
  }

  /// Appends a string as UTF-8.
  public func write(_ text: StaticString) throws(GuestError) {
    guard nub_write(frame, text.utf8Start, text.utf8CodeUnitCount) == 0 else { throw .resultTooLarge }
  }

  /// Appends a string as UTF-8.
  public func write(_ text: String) throws(GuestError) {
    let status = text.utf8.span.withUnsafeBufferPointer { nub_write(frame, $0.baseAddress, $0.count) }
    guard status == 0 else { throw .resultTooLarge }
  }

  /// Room for `count` more bytes of result, which count at once.
  public func reserve(_ count: Int) throws(GuestError) -> UnsafeMutableRawBufferPointer {
    guard count >= 0, let start = nub_reserve(frame, count) else { throw .resultTooLarge }
    return UnsafeMutableRawBufferPointer(start: start, count: count)
  }

  /// The payload as one little-endian number.
  public func number<Number: FixedWidthInteger>(as type: Number.Type) throws(GuestError) -> Number {
    guard payload.count == MemoryLayout<Number>.size else {
      throw .badPayload("the payload is not one little-endian number of the size that this function takes")
    }
    return Number(littleEndian: payload.loadUnaligned(as: Number.self))
  }

  /// The payload as the hash of a cap.
  public func hash() throws(GuestError) -> CapHash {
    guard let hash = CapHash(payload) else { throw .badPayload("the payload is not a 32-byte hash") }
    return hash
  }

  /// The wire form of a cap, from the directory or through the host from the store.
  public func cap(_ hash: CapHash) throws(GuestError) -> UnsafeRawBufferPointer {
    try runtime.cap(hash, for: frame)
  }

  /// The bytes of a Data cap.
  public func data(_ hash: CapHash) throws(GuestError) -> UnsafeRawBufferPointer {
    try runtime.data(hash, for: frame)
  }

  /// Sends a record to the host's log.
  public func log(_ level: LogLevel, _ message: StaticString) {
    nub_log(frame, level.rawValue, message.utf8Start, message.utf8CodeUnitCount)
  }

  /// Sends a record to the host's log. The text is put together only where the host wants records of this level.
  public func log(_ level: LogLevel, text: @autoclosure () -> String) {
    guard runtime.wantsLog(level.rawValue) else { return }
    text().utf8.span.withUnsafeBufferPointer { nub_log(frame, level.rawValue, $0.baseAddress, $0.count) }
  }

  /// Calls a host function; its answer stays until the next host call, which reading a cap may be.
  /// - Throws: status `NUB_STATUS_HOST` with what the host said as its message.
  public func callHost(_ function: UInt32, _ argument: UnsafeRawBufferPointer) throws(GuestError)
    -> UnsafeRawBufferPointer
  {
    let (status, answer) = runtime.hostCall(function, argument)
    guard status == 0 else {
      _ = nub_fail(frame, NUB_STATUS_HOST, answer.baseAddress, answer.count)
      throw .answered(NUB_STATUS_HOST)
    }
    return answer
  }

  /// Calls a host function with a text as its argument.
  public func callHost(_ function: UInt32, _ argument: StaticString) throws(GuestError)
    -> UnsafeRawBufferPointer
  {
    try callHost(
      function, UnsafeRawBufferPointer(start: argument.utf8Start, count: argument.utf8CodeUnitCount))
  }

  var runtime: GuestRuntime { GuestRuntime.of(frame) }
}

/// A call as the image's function table hands it on; see ``GuestCall/run(_:_:)``.
public typealias NubCall = UnsafeMutablePointer<nub_call>

/// How severe a log record is; swift-log's levels.
public enum LogLevel: UInt32 {
  case trace = 0
  case debug, info, notice, warning, error, critical
}

extension GuestRuntime {
  /// The runtime that made `frame`.
  static func of(_ frame: UnsafeMutablePointer<nub_call>) -> GuestRuntime {
    // The runtime puts itself there before it calls the function, and outlives the call.
    Unmanaged<GuestRuntime>.fromOpaque(frame.pointee.runtime).takeUnretainedValue()
  }
}
