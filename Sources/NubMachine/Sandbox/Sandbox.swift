import CNubABI
import NubABI
import Synchronization

/// A guest that is built once and called many times, its state kept between calls.
///
/// Thread rules: one thread at a time uses a sandbox, which the compiler sees to, because it is noncopyable and every
/// use is a mutation; it may move between threads. ``interruptHandle`` may be used from anywhere at any time.
public struct Sandbox: ~Copyable, @unchecked Sendable {
  // Sendable: noncopyable, so there is one owner; everything reachable from it belongs to it or is itself Sendable.

  /// Where the guest's code is.
  enum Body {
    case machine(VirtualMachine)
    case inProcess(InProcessGuest)
  }

  /// Unique in this process, never used twice.
  public let id: UInt64
  /// What it was made from.
  public let template: SandboxTemplate
  /// Handed to host functions with every call. For the owner's own use.
  public var context: (any Sendable)?
  /// What its guest may call: the template's functions, to which the owner may add, before the first call or later. A
  /// restore leaves the template's.
  public var hostFunctions: HostFunctions
  /// Where dumps of this sandbox go when its guest faults or aborts, see ``SandboxConfiguration/crashDumps``. The owner may
  /// turn them off, or name another place.
  public var crashDumps: CrashDumpConfiguration?
  /// The last dump that was written because of a fault.
  public internal(set) var lastCrashDump: CrashDump?
  /// Why the sandbox refuses calls; nil while it does not.
  public internal(set) var poison: MachineError? {
    didSet { census.set(poison == nil ? .inService : .poisoned) }
  }
  private var census: SandboxCensus
  /// What it counts as in `nub_sandboxes`; a pool says so.
  var standing: SandboxStanding {
    get { census.standing }
    set { census.set(newValue) }
  }

  var body: Body
  let areas: SharedAreas
  let handle: InterruptHandle
  var sequence: UInt32 = 0
  var log = GuestLog()
  var directory: DirectoryReader?
  var info: BootInfo?
  /// How far the request and the response area have been written, so that a restore clears no more than that.
  var requestHighWater = 0
  var responseHighWater = 0
  var pristine: Snapshot?
  var debugTarget: DebugTarget?
  var debugAttachment: DebugAttachment?

  private static let counter = Atomic<UInt64>(0)

  /// A sandbox whose guest has not run yet; ``start()`` comes next.
  init(unstarted template: SandboxTemplate) throws(MachineError) {
    let body: Body
    let areas: SharedAreas
    let signal: Int32
    switch template.kind {
    case .kvm(let machineTemplate):
      let machine = try VirtualMachine(machineTemplate)
      guard let shared = SharedAreas(machine) else {
        throw MachineError(.configurationInvalid, "the shared areas do not fit their slots")
      }
      shared.initialiseHostControl(
        SharedAreas.virtualAddresses, configuration: template.configuration,
        seed: (.random(in: .min ... .max), .random(in: .min ... .max)), tscKilohertz: machine.tscKilohertz)
      areas = shared
      body = .machine(machine)
      signal = machineTemplate.interruptSignal
    case .inProcess:
      let guest = try InProcessGuest(template.configuration)
      areas = guest.areas
      body = .inProcess(guest)
      signal = 0
    }
    self.template = template
    census = SandboxCensus(template.metrics)
    hostFunctions = template.hostFunctions
    crashDumps = template.configuration.crashDumps
    self.body = body
    self.areas = areas
    id = Sandbox.counter.wrappingAdd(1, ordering: .relaxed).newValue
    handle = InterruptHandle(signal: signal)
    DeadlineTimer.shared.register(handle)
  }

  /// True after a failure that leaves the guest in an unknown state. A poisoned sandbox refuses calls.
  public var isPoisoned: Bool { poison != nil }

  /// True while no call has run in it since it was started or restored.
  public var isPristine: Bool { sequence == 0 }

  /// Where its guest's code runs.
  public var engine: Engine { template.engine }

  /// Interrupts this sandbox's calls from any thread.
  public var interruptHandle: InterruptHandle { handle }

  /// Calls a function with a payload and returns its result.
  /// - Throws: ``MachineError/Code/guestError(status:)`` where the function answered with a status; what else may happen
  ///   is in ``MachineError/Code``.
  public mutating func call(
    _ function: UInt32, _ payload: [UInt8] = [], deadline: Duration? = nil
  ) throws(MachineError) -> [UInt8] {
    var outcome = CallOutcome.notRun
    unsafe payload.withUnsafeBytes { bytes in
      var call = unsafe GuestCall(function: function, payload: bytes, deadline: deadline)
      unsafe withUnsafePointer(to: &call) { pointer in
        unsafe runBatch(UnsafeBufferPointer(start: pointer, count: 1)) { _, result, _ in outcome = result }
      }
    }
    switch outcome {
    case .returned(let bytes): return bytes
    case .guestError(let status, let detail):
      throw MachineError(
        .guestError(status: status),
        detail.isEmpty
          ? "function \(function) returned status \(status)" : String(decoding: detail, as: UTF8.self))
    case .failed(let error): throw error
    case .notRun: throw MachineError(.cancelled, "the call was not run")
    }
  }

  /// Runs many calls in as few entries of the VM as their sizes allow.
  ///
  /// `deliver` gets each call's index, how it ended, and the microseconds it ran (see ``RunClock``), in order,
  /// as soon as the host sees it. When call k fails, the calls before it have their results, k has the failure, and those
  /// behind it are ``CallOutcome/notRun``.
  public mutating func runBatch(
    _ calls: UnsafeBufferPointer<GuestCall>, deliver: (Int, consuming CallOutcome, UInt32) -> Void
  ) {
    var next = 0
    while next < calls.count {
      if let poison {
        deliver(
          next, .failed(MachineError(.poisoned, "the sandbox is out of service since: \(poison.message)")), 0)
        next += 1
        break
      }
      let filled = unsafe fillRequests(calls, from: next)
      if filled == 0 {
        let limit = template.configuration.maximumRequest
        let message =
          unsafe "the payload has \(calls[next].payload.count) bytes; a call takes at most \(limit)"
        deliver(next, .failed(MachineError(.tooLarge, message)), 0)
        next += 1
        continue
      }
      let result = unsafe enter(calls, from: next, count: filled, deliver)
      next += result.delivered
      if let error = result.error {
        poison = error
        // A guest that fails behind its last result fails nobody's call; the sandbox is done for all the same.
        if result.delivered < filled {
          deliver(next, .failed(error), result.microseconds)
          next += 1
        }
        break
      }
    }
    while next < calls.count {
      deliver(next, .notRun, 0)
      next += 1
    }
  }

  /// Writes as many calls as fit into the request area; each payload is copied once, from where it lies.
  private mutating func fillRequests(_ calls: UnsafeBufferPointer<GuestCall>, from first: Int) -> Int {
    let headerSize = MemoryLayout<nub_request>.size
    var position = 0
    var count = 0
    // In this process deadlines are looked at between entries, so each call gets one.
    let end = template.engine == .inProcess ? first + 1 : calls.count
    for index in first..<end {
      let call = unsafe calls[index]
      let length = unsafe call.payload.count
      guard UInt64(length) <= template.configuration.maximumRequest,
        unsafe headerSize + ((length + 15) & ~15) <= areas.request.count - position
      else { break }
      unsafe areas.request.storeBytes(
        of: nub_request(function: call.function, length: UInt32(length), reserved: 0), toByteOffset: position,
        as: nub_request.self)
      if let source = unsafe call.payload.baseAddress {
        unsafe (areas.request.baseAddress.unsafelyUnwrapped + (position + headerSize)).copyMemory(
          from: source, byteCount: length)
      }
      position += headerSize + ((length + 15) & ~15)
      count += 1
    }
    requestHighWater = max(requestHighWater, position)
    unsafe areas.host.pointee.request_length = UInt64(position)
    unsafe areas.host.pointee.call_count = UInt32(count)
    return count
  }
}
