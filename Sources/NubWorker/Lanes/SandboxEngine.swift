internal import Logging
internal import NubABI
internal import NubCap
internal import NubMachine
internal import NubStore

/// NubMachine's sandbox, of whichever engine, as a lane uses it.
final class SandboxEngine: LaneEngine {
  private var sandbox: Sandbox
  let sandboxID: UInt64
  let interrupt: @Sendable () -> Void

  init(_ template: SandboxTemplate, caps: any CapSupply, debugServer: DebugServer?) throws(EngineError) {
    do throws(MachineError) {
      var made = try template.makeSandbox()
      if let debugServer { try made.attach(debugServer) }
      sandbox = made
    } catch {
      throw EngineError(code: .unavailable, message: error.message)
    }
    sandbox.context = GuestContext(caps: caps)
    sandboxID = sandbox.id
    let handle = sandbox.interruptHandle
    interrupt = { handle.interrupt() }
  }

  var isPoisoned: Bool { sandbox.isPoisoned }

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
      sandbox.runBatch(UnsafeBufferPointer(rebasing: guestCalls[..<calls.count])) {
        index, outcome, microseconds in
        deliver(index, EngineResult(outcome), microseconds)
      }
    }
  }

  func put(_ wire: UnsafeRawBufferPointer) throws(EngineError) -> CapHash {
    var result = CallOutcome.notRun
    var call = GuestCall(function: FunctionID.putCap, payload: wire)
    withUnsafePointer(to: &call) { call in
      sandbox.runBatch(UnsafeBufferPointer(start: call, count: 1)) { _, outcome, _ in result = outcome }
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
    (try? sandbox.directoryContains(hash)) ?? false
  }

  func restore() throws(EngineError) {
    do throws(MachineError) {
      try sandbox.restore()
    } catch {
      throw EngineError(code: .unavailable, message: error.message)
    }
  }
}

/// What a sandbox hands to host functions with each call: whom to ask for caps.
private struct GuestContext: Sendable {
  let caps: any CapSupply
}

extension EngineResult {
  init(_ outcome: consuming CallOutcome) {
    switch outcome {
    case .returned(let bytes): self = .returned(bytes)
    case .guestError(let status, let detail): self = EngineResult(status: status, detail: detail)
    case .failed(let error): self = EngineResult(error)
    case .notRun: self = .notRun
    }
  }

  /// The statuses that nub's own code in the guest gives have statuses of the protocol to go with them.
  private init(status: UInt32, detail: [UInt8]) {
    switch status {
    case GuestStatus.unknownFunction:
      self = .unknownFunction
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

/// Makes sandboxes from one template.
struct SandboxEngineSource: LaneEngineSource {
  private let template: SandboxTemplate
  private let debugServer: DebugServer?
  let image: ImageRecord?

  init(_ configuration: WorkerConfiguration) throws(WorkerError) {
    var sandboxes = SandboxConfiguration()
    sandboxes.heapSize = configuration.guestHeapBytes
    sandboxes.maximumRequest = UInt64(configuration.maximumBodyBytes)
    sandboxes.maximumResult = UInt64(configuration.maximumBodyBytes)
    // A cap of the largest size comes with its length.
    sandboxes.maximumResponse = UInt64(configuration.maximumBodyBytes) + (64 << 10)
    sandboxes.crashDumps = configuration.crashDumpPath.map { CrashDumpConfiguration(directory: $0) }
    sandboxes.isDebuggable = configuration.debuggerPort != nil
    var functions = HostFunctions()
    functions.register(HostFunctionID.capFetch, name: "cap_fetch", Self.fetch)
    do throws(MachineError) {
      let guest = try Self.guest(configuration)
      image = ImageRecord(
        digest: guest.digest.bytes, name: configuration.guestPath ?? "built-in",
        functions: guest.functions.map { ($0.id, $0.name) })
      switch configuration.engine {
      case .kvm:
        template = try SandboxTemplate(
          kvm: guest, configuration: sandboxes, hostFunctions: functions,
          logger: configuration.logger)
        debugServer = try configuration.debuggerPort.map { (port) throws(MachineError) in
          try DebugServer(port: port)
        }
        if let debugServer {
          configuration.logger.warning(
            "gdb may attach to the guest", metadata: ["endpoint": "127.0.0.1:\(debugServer.port)"])
        }
      case .inprocess:
        debugServer = nil
        template = try SandboxTemplate(
          inProcess: sandboxes, hostFunctions: functions, logger: configuration.logger)
      }
    } catch {
      throw WorkerError(.engine, error.message, cause: error)
    }
  }

  /// The image that the configuration names. The in-process engine is the built-in image's code, whatever is named.
  private static func guest(_ configuration: WorkerConfiguration) throws(MachineError) -> GuestImage {
    guard let path = configuration.guestPath else { return try .builtIn() }
    guard configuration.engine == .kvm else {
      throw MachineError(.configurationInvalid, "the engine inprocess runs nub's own guest only, not \(path)")
    }
    return try GuestImage(contentsOf: path)
  }

  var name: String { template.engine.rawValue }

  var kind: NubStore.Engine {
    switch template.engine {
    case .kvm: .kvm
    case .inProcess: .inprocess
    }
  }

  var functions: [(id: UInt32, name: String)] { template.functions.map { ($0.id, $0.name) } }

  func makeEngine(caps: any CapSupply) throws(EngineError) -> any LaneEngine {
    try SandboxEngine(template, caps: caps, debugServer: debugServer)
  }

  /// Host function 1.
  private static func fetch(_ call: HostCall) throws -> [UInt8] {
    guard let context = call.context as? GuestContext else {
      throw HostError(status: HostError.failed, "no store")
    }
    guard call.argument.count.isMultiple(of: CapHash.byteCount) else {
      throw HostError(status: HostError.failed, "the argument is hashes of 32 bytes each")
    }
    var hashes: [CapHash] = []
    for start in stride(from: 0, to: call.argument.count, by: CapHash.byteCount) {
      if let hash = CapHash([UInt8](call.argument[start..<start + CapHash.byteCount])) { hashes.append(hash) }
    }
    do throws(CapSupplyError) {
      return try context.caps.fetch(hashes)
    } catch {
      switch error {
      case .missing(let hashes): throw HostError(status: 1, answer: hashes.flatMap(\.bytes))
      case .failed(let message): throw HostError(status: HostError.failed, message)
      }
    }
  }
}
