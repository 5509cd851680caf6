public import CNubABI
import CNubGuest
import NubABI
import NubCap

/// The guest's side of the rings: takes the calls of a batch, runs their functions, publishes results, and talks to the
/// host through the doorbell.
///
/// In a VM there is one, made by the image's entry; in the worker's process there is one for each sandbox. All its state
/// is in the object, so that both are the same code.
public final class GuestRuntime {
  /// Leaves the guest until the host has done what `nub_guest_control.reason` asks for. The context is the caller's own.
  public typealias Doorbell = @convention(c) (_ context: UnsafeMutableRawPointer?) -> Void

  let host: UnsafePointer<nub_host_control>
  let control: UnsafeMutablePointer<nub_guest_control>
  let functions: FunctionTable
  let directory: Directory
  /// False in the worker's process, where a fault would take the worker with it.
  public let isIsolated: Bool
  public let statistics: () -> Heap.Statistics
  private let doorbell: Doorbell
  private let context: UnsafeMutableRawPointer?
  private var log: LogWriter
  private let bootInfo: UnsafeMutablePointer<nub_boot_info>
  var counter: UInt64 = 0

  /// - Parameters:
  ///   - host: the control page that the host has filled in.
  ///   - functions: every function of the image.
  ///   - statistics: the heap's, for function 2.
  /// Returns nil when the host speaks another version of the ABI or memory does not suffice.
  public init?(
    host: UnsafePointer<nub_host_control>, functions: FunctionTable, isIsolated: Bool,
    statistics: @escaping () -> Heap.Statistics, context: UnsafeMutableRawPointer?,
    doorbell: @escaping Doorbell
  ) {
    guard host.pointee.magic == NUB_HOST_MAGIC, host.pointee.abi_version == NUB_ABI_VERSION,
      let control = UnsafeMutableRawPointer(bitPattern: UInt(host.pointee.control_base)),
      let log = LogWriter(host: host),
      let directory = Directory(
        capacity: Int(host.pointee.directory_capacity), byteLimit: host.pointee.heap_size / 2),
      let info = allocateBytes(MemoryLayout<nub_boot_info>.size, alignment: 16)
    else { return nil }
    self.host = host
    self.control = control.assumingMemoryBound(to: nub_guest_control.self)
    self.functions = functions
    self.directory = directory
    self.isIsolated = isIsolated
    self.statistics = statistics
    self.log = log
    self.context = context
    self.doorbell = doorbell
    bootInfo = info.assumingMemoryBound(to: nub_boot_info.self)
    bootInfo.pointee = nub_boot_info(
      magic: NUB_BOOT_MAGIC, abi_version: NUB_ABI_VERSION, function_count: UInt32(functions.count),
      directory: UInt64(UInt(bitPattern: self.directory.header)),
      directory_capacity: host.pointee.directory_capacity,
      directory_entry_size: UInt32(MemoryLayout<nub_directory_entry>.size),
      heap_base: host.pointee.heap_base, heap_size: host.pointee.heap_size)
    self.control.pointee.magic = NUB_GUEST_MAGIC
    self.control.pointee.abi_version = NUB_ABI_VERSION
    self.control.pointee.boot_info = UInt64(UInt(bitPattern: bootInfo))
  }

  deinit { releaseBytes(bootInfo) }

  /// Rings the doorbell for `reason` and returns when the host lets the guest go on.
  public func ring(_ reason: UInt32) {
    control.pointee.reason = reason
    doorbell(context)
  }

  /// Runs the calls in the request area and publishes a result for each, in order.
  public func runBatch() {
    let count = host.pointee.call_count
    var request = UnsafeRawPointer(bitPattern: UInt(host.pointee.request_base))
    guard let resultBase = UnsafeMutableRawPointer(bitPattern: UInt(host.pointee.result_base)) else { return }
    let resultSize = Int(host.pointee.result_size)
    let maxResult = Int(host.pointee.max_result)
    control.pointee.published = 0
    // After the count, so that a host that interrupts here never reads an old count as this batch's.
    nub_cpu_publish(&control.pointee.sequence, host.pointee.sequence)

    var position = 0
    var index: UInt32 = 0
    while index < count, let header = request {
      if position + MemoryLayout<nub_result>.size + maxResult > resultSize {
        ring(NUB_DOORBELL_DRAIN)
        position = 0
      }
      let call = header.load(as: nub_request.self)
      let result = resultBase + position
      let output = result + MemoryLayout<nub_result>.size
      directory.beginCall()
      let began = nub_cpu_ticks()
      var frame = nub_call(
        runtime: Unmanaged.passUnretained(self).toOpaque(),
        payload: (header + MemoryLayout<nub_request>.size).assumingMemoryBound(to: UInt8.self),
        payload_length: Int(call.length), output: output.assumingMemoryBound(to: UInt8.self),
        output_capacity: maxResult, output_length: 0, function: call.function, reserved: 0)
      let status = dispatch(&frame)
      let length = min(frame.output_length, maxResult)
      result.storeBytes(
        of: nub_result(
          index: index, status: status, length: UInt32(length), reserved: 0,
          cycles: nub_cpu_ticks() &- began, reserved1: 0), as: nub_result.self)
      position += MemoryLayout<nub_result>.size + ((length + 15) & ~15)
      index += 1
      nub_cpu_publish(&control.pointee.published, index)
      request = header + (MemoryLayout<nub_request>.size + ((Int(call.length) + 15) & ~15))
    }
  }

  private func dispatch(_ frame: inout nub_call) -> UInt32 {
    guard let function = functions.find(frame.function) else { return NUB_STATUS_UNKNOWN_FUNCTION }
    return function(&frame)
  }

  // MARK: Talking to the host

  /// Calls a host function. The answer lies in the response area until the next host call.
  func hostCall(_ function: UInt32, _ argument: UnsafeRawBufferPointer) -> (
    status: UInt32, answer: UnsafeRawBufferPointer
  ) {
    control.pointee.host_call_function = function
    control.pointee.host_call_argument = UInt64(UInt(bitPattern: argument.baseAddress))
    control.pointee.host_call_length = UInt64(argument.count)
    ring(NUB_DOORBELL_HOST_CALL)
    let answer = UnsafeRawBufferPointer(
      start: UnsafeRawPointer(bitPattern: UInt(host.pointee.response_base)),
      count: Int(host.pointee.host_call_length))
    return (host.pointee.host_call_status, answer)
  }

  /// True where the host wants records of this level.
  func wantsLog(_ level: UInt32) -> Bool { level >= host.pointee.log_level }

  /// Writes a record whose source is the name of a function.
  func writeLog(level: UInt32, function: UInt32, message: UnsafeRawBufferPointer) {
    guard wantsLog(level) else { return }
    log.write(level: level, source: functions.name(of: function), message: message)
  }

  /// Gives up. Returns only where there is no isolation to end.
  func abort(code: UInt32, message: UnsafeRawBufferPointer) {
    let length = prefix(of: message, Int(NUB_ABORT_MESSAGE_MAX))
    withUnsafeMutableBytes(of: &control.pointee.abort_message) { target in
      if let source = message.baseAddress { target.baseAddress?.copyMemory(from: source, byteCount: length) }
    }
    control.pointee.abort_code = code
    control.pointee.abort_length = UInt32(length)
    ring(NUB_DOORBELL_ABORT)
  }

  func writeBootInfo(to call: borrowing GuestCall) throws(GuestError) {
    try call.write(UnsafeRawBufferPointer(start: bootInfo, count: MemoryLayout<nub_boot_info>.size))
  }
}
