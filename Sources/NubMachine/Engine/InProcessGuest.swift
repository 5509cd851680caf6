import CNubABI
import CNubGuest
import NubABI
import NubGuest

/// The guest's own code in this process: no isolation, for development on machines without KVM.
///
/// The doorbell calls the handler that is installed while a batch runs, instead of leaving a VM.
final class InProcessGuest: @unchecked Sendable {
  // Sendable: owned by one sandbox, which is used by one thread at a time.
  typealias Handler = (UInt32) -> Void

  let memory: MappedMemory
  let areas: SharedAreas
  private var runtime: GuestRuntime?
  private var handler: Handler?

  init(_ configuration: SandboxConfiguration) throws(MachineError) {
    let page = MemoryMap.pageSize
    let sizes: [UInt64] = [
      page, page, configuration.logSize, configuration.requestAreaSize, configuration.responseAreaSize,
      configuration.resultAreaSize,
    ]
    memory = try MappedMemory(anonymous: Int(sizes.reduce(0, +)))
    var views: [UnsafeMutableRawBufferPointer] = unsafe []
    var offset: UInt64 = 0
    for size in sizes {
      guard let view = unsafe memory.bytes(at: offset, count: size) else { break }
      unsafe views.append(view)
      offset += size
    }
    guard unsafe views.count == sizes.count, let host = unsafe views[0].baseAddress,
      let control = unsafe views[1].baseAddress
    else {
      throw MachineError(.configurationInvalid, "the areas do not fit their memory")
    }
    areas = unsafe SharedAreas(
      host: host.bindMemory(to: nub_host_control.self, capacity: 1), request: views[3], response: views[4],
      control: control.bindMemory(to: nub_guest_control.self, capacity: 1), log: views[2], result: views[5])
    var addresses = nub_host_control()
    addresses.request_base = unsafe address(areas.request)
    addresses.response_base = unsafe address(areas.response)
    addresses.result_base = unsafe address(areas.result)
    addresses.control_base = unsafe UInt64(UInt(bitPattern: areas.control))
    addresses.log_base = unsafe address(areas.log)
    areas.initialiseHostControl(
      addresses, configuration: configuration, seed: (1, 2), tscKilohertz: TimeStampCounter.kilohertz)
    try start()
  }

  private func start() throws(MachineError) {
    runtime = unsafe GuestRuntime(
      host: UnsafePointer(areas.host), functions: InProcessFunctions.table, isIsolated: false,
      statistics: { Heap.Statistics() }, context: unsafe Unmanaged.passUnretained(self).toOpaque(),
      doorbell: { context in
        guard let context = unsafe context else { return }
        let guest = unsafe Unmanaged<InProcessGuest>.fromOpaque(context).takeUnretainedValue()
        unsafe guest.handler?(guest.areas.control.pointee.reason)
      })
    guard runtime != nil else {
      throw MachineError(.system(errno: 12), "the in-process guest could not be made")
    }
  }

  /// A guest without any past.
  func restart() throws(MachineError) {
    runtime = nil
    try start()
  }

  /// Runs the batch in the request area; `handler` stands for leaving the VM.
  func runBatch(_ handler: @escaping Handler) {
    self.handler = handler
    runtime?.runBatch()
    handler(NUB_DOORBELL_BATCH_DONE)
    self.handler = nil
  }

  private func address(_ view: UnsafeMutableRawBufferPointer) -> UInt64 {
    UInt64(UInt(bitPattern: view.baseAddress))
  }
}

/// The image's function table, for this process. A test holds it against the image's own.
enum InProcessFunctions {
  // Made once, never written again and never freed: it is the process's only table.
  nonisolated(unsafe) private static let entries: UnsafeBufferPointer<nub_function_entry> = {
    let buffer = UnsafeMutableBufferPointer<nub_function_entry>.allocate(
      capacity: NubGuestFunctions.all.count)
    for (index, function) in NubGuestFunctions.all.enumerated() {
      unsafe buffer.initializeElement(
        at: index,
        to: nub_function_entry(
          id: UInt64(function.id),
          name: UnsafeRawPointer(function.name.utf8Start).assumingMemoryBound(to: CChar.self),
          function: function.body))
    }
    return UnsafeBufferPointer(buffer)
  }()
  static var table: FunctionTable { unsafe FunctionTable(sorted: entries) }
}

extension InProcessFunctions {
  static var list: [GuestImage.Function] {
    NubGuestFunctions.all.map { GuestImage.Function(id: $0.id, name: "\($0.name)") }
  }
}
