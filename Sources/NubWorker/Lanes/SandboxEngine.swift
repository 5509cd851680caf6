internal import NubABI
internal import NubCap
internal import NubMachine
internal import NubStore

/// NubMachine's sandbox, of whichever engine, as a lane uses it.
final class SandboxEngine: LaneEngine {
  /// Nil after ``surrender()`` alone.
  private var sandbox: Sandbox?
  let sandboxID: UInt64
  let interrupt: @Sendable () -> Void
  let dump: GuestDump?
  /// The ids of the image's functions.
  private let functions: Set<UInt32>

  init(_ sandbox: consuming Sandbox, functions: Set<UInt32>, caps: any CapSupply) {
    self.functions = functions
    sandbox.context = GuestContext(caps: caps)
    sandboxID = sandbox.id
    let handle = sandbox.interruptHandle
    interrupt = { handle.interrupt() }
    dump = sandbox.engine == .kvm ? Self.dump(handle) : nil
    self.sandbox = consume sandbox
  }

  private static func dump(_ handle: InterruptHandle) -> GuestDump {
    { path, completion in
      let outcome = handle.requestCrashDump(to: path) { result in
        switch result {
        case .success(let dump): completion(.success(dump.path))
        case .failure(let error): completion(.failure(WorkerError(.engine, error.message, cause: error)))
        }
      }
      return outcome == .requested
    }
  }

  /// The sandbox itself, once.
  func surrender() -> Sandbox? { sandbox.take() }

  var isPoisoned: Bool { sandbox?.isPoisoned ?? true }
  var isPristine: Bool { sandbox?.isPristine ?? false }

  func run(
    _ calls: UnsafeBufferPointer<EngineCall>, deliver: (Int, consuming EngineResult, UInt32) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: GuestCall.self, capacity: calls.count) { guestCalls in
      for index in calls.indices {
        let call = calls[index]
        guestCalls.initializeElement(
          at: index,
          to: GuestCall(
            function: call.function, payload: call.payload,
            deadline: call.deadlineMilliseconds.map { .milliseconds(Int64($0)) }))
      }
      sandbox?.runBatch(UnsafeBufferPointer(rebasing: guestCalls[..<calls.count])) {
        index, outcome, microseconds in
        deliver(
          index, EngineResult(outcome) { self.functions.contains(calls[index].function) }, microseconds)
      }
    }
  }

  func put(_ wire: UnsafeRawBufferPointer) throws(EngineError) -> CapHash {
    var result = CallOutcome.notRun
    var call = GuestCall(function: FunctionID.putCap, payload: wire)
    withUnsafePointer(to: &call) { call in
      sandbox?.runBatch(UnsafeBufferPointer(start: call, count: 1)) { _, outcome, _ in result = outcome }
    }
    switch result {
    case .returned(let bytes):
      guard let hash = CapHash(bytes) else {
        throw EngineError(code: .fault, message: "the guest answered a put with \(bytes.count) bytes")
      }
      guard hash != .refused else {
        throw EngineError(code: .capRefused, message: "the guest could not decode it")
      }
      return hash
    case .guestError(let status, let detail):
      throw EngineError(
        code: status == GuestStatus.capInvalid ? .capRefused : .fault,
        message: "status \(status): \(String(decoding: detail, as: UTF8.self))")
    case .failed(let error):
      throw EngineError(code: error.code == .tooLarge ? .tooLarge : .fault, message: error.message)
    case .notRun:
      throw EngineError(code: .fault, message: "the sandbox did not run it")
    }
  }

  func holds(_ hash: CapHash) -> Bool {
    // A directory that cannot be read poisons the sandbox, which the next call then says.
    (try? sandbox?.directoryContains(hash)) ?? false
  }
}

/// What a sandbox hands to host functions with each call: whom to ask for caps.
struct GuestContext: Sendable {
  let caps: any CapSupply
}

extension EngineResult {
  /// - Parameter isKnown: whether the image has the function that was called. A function may answer with any status, and
  ///   one that hands on what a host function gave it must not pass for a function that is not there.
  init(_ outcome: consuming CallOutcome, isKnown: () -> Bool) {
    switch outcome {
    case .returned(let bytes): self = .returned(bytes)
    case .guestError(let status, let detail): self = EngineResult(status, detail, isKnown: isKnown)
    case .failed(let error): self = EngineResult(error)
    case .notRun: self = .notRun
    }
  }

  /// The statuses that nub's own code in the guest gives have statuses of the protocol to go with them.
  private init(_ status: UInt32, _ detail: [UInt8], isKnown: () -> Bool) {
    switch status {
    case GuestStatus.unknownFunction where !isKnown():
      self = .unknownFunction
    case GuestStatus.firstReserved... where detail.isEmpty:
      self = .guestError(status: status, message: "the function answered with nub's own status \(status)")
    case GuestStatus.capMissing where detail.count.isMultiple(of: CapHash.byteCount) && !detail.isEmpty:
      var hashes: [CapHash] = []
      for start in stride(from: 0, to: detail.count, by: CapHash.byteCount) {
        if let hash = CapHash([UInt8](detail[start..<start + CapHash.byteCount])) { hashes.append(hash) }
      }
      self = .capsMissing(hashes)
    default:
      self = .guestError(status: status, message: String(decoding: detail, as: UTF8.self))
    }
  }

  private init(_ error: MachineError) {
    switch error.code {
    case .fault, .abort, .protocolViolation: self = .fault(message: error.message)
    case .deadlineExceeded: self = .deadlineExceeded
    case .cancelled: self = .cancelled
    case .tooLarge: self = .tooLarge(message: error.message)
    // The sandbox was lost before this call's turn, or the machine beneath it failed.
    case .poisoned: self = .notRun
    case .guestError(let status): self = .guestError(status: status, message: error.message)
    case .capInvalid, .hashMismatch, .imageInvalid, .configurationInvalid, .kvmUnavailable, .system:
      self = .unavailable(message: error.message)
    }
  }
}
