internal import Logging
internal import NubABI
internal import NubCap
internal import NubMachine
internal import NubStore

/// The worker's sandboxes: one pool for all its lanes.
///
/// A lane keeps the sandbox of the tenant whose jobs it runs and comes here when the tenant changes, so a tenant's next batch
/// costs no lock. What a lane gives back stays its tenant's, caps in its directory and all, until somebody else needs the place.
final class SandboxEngineSource: LaneEngineSource {
  private let template: SandboxTemplate
  private let pool: SandboxPool
  private let debuggers: DebuggerPorts?
  let image: ImageRecord?
  private let functionIDs: Set<UInt32>

  init(_ configuration: WorkerConfiguration) throws(WorkerError) {
    // Before anything is opened: sandboxes take two descriptors each, and sockets want some.
    let descriptors = FileDescriptorLimit.raise()
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
        debuggers = try configuration.debuggerPort.map { (port) throws(MachineError) in
          try DebuggerPorts(first: port, count: configuration.lanes, logger: configuration.logger)
        }
      case .inprocess:
        debuggers = nil
        template = try SandboxTemplate(
          inProcess: sandboxes, hostFunctions: functions, logger: configuration.logger)
      }
      functionIDs = Set(template.functions.map(\.id))
      pool = try Self.pool(of: template, configuration, descriptors)
    } catch {
      throw Self.failure(error)
    }
  }

  /// Makes the first sandbox, so that an image that cannot start ends the worker here, and not its jobs' patience. Where the
  /// machine lacks something that may come back, the worker goes on and jobs wait.
  func proveOne(_ logger: Logger) throws(WorkerError) {
    do throws(MachineError) {
      if let debuggers {
        try prove(debuggers.count)
      } else {
        try prove(1)
      }
    } catch {
      guard case .system = error.code else {
        pool.close()
        throw Self.failure(error)
      }
      logger.error("no sandbox yet; jobs wait for one", metadata: ["error": "\(error.message)"])
    }
  }

  /// What is wrong with a setting, an image that cannot be run among them, stays wrong however often the worker is started.
  private static func failure(_ error: MachineError) -> WorkerError {
    switch error.code {
    case .imageInvalid, .configurationInvalid: WorkerError(.configuration, error.message, cause: error)
    default: WorkerError(.engine, error.message, cause: error)
    }
  }

  /// Makes some sandboxes that exist at once: those that debuggers may be there for, before their first job.
  private func prove(_ count: Int) throws(MachineError) {
    guard count > 0 else { return }
    var sandbox = try pool.take(tenant: 0, fresh: true)
    try debuggers?.attach(&sandbox)
    do throws(MachineError) {
      try prove(count - 1)
    } catch {
      pool.give(sandbox, tenant: 0, keepsState: false)
      throw error
    }
    pool.give(sandbox, tenant: 0, keepsState: false)
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

  private static func pool(
    of template: SandboxTemplate, _ configuration: WorkerConfiguration, _ descriptors: UInt64
  ) throws(MachineError) -> SandboxPool {
    let lanes = configuration.lanes
    // What debuggers are attached to stays the sandboxes that there are, until one must be replaced by its successor.
    if configuration.debuggerPort != nil {
      return try SandboxPool(template: template, warm: 0, maximum: lanes, logger: configuration.logger)
    }
    // As many as serve a handful of tenants for each lane, unless the process may not open that many files.
    let room = Int(clamping: descriptors) / 2 - 64
    let maximum = configuration.maximumSandboxes ?? max(lanes, min(max(4 * lanes, 8), room))
    // A warm one for each lane; but half of what lanes leave over belongs to tenants that may come back.
    return try SandboxPool(
      template: template, warm: min(lanes, maximum), maximum: maximum,
      reclaim: min(lanes, (maximum - lanes) / 2), logger: configuration.logger)
  }

  func take(
    _ tenant: TenantSlot, fresh: Bool, preferring sandbox: UInt64, caps: any CapSupply
  ) throws(EngineError) -> any LaneEngine {
    do throws(MachineError) {
      var sandbox = try pool.take(
        tenant: Int64(truncatingIfNeeded: tenant.index), fresh: fresh, preferring: sandbox)
      try debuggers?.attach(&sandbox)
      return SandboxEngine(sandbox, functions: functionIDs, caps: caps)
    } catch {
      throw EngineError(code: .unavailable, message: error.message)
    }
  }

  func give(_ engine: any LaneEngine, of tenant: TenantSlot, _ disposal: EngineDisposal) {
    guard let sandbox = (engine as? SandboxEngine)?.surrender() else { return }
    if disposal == .discard || sandbox.isPoisoned { debuggers?.release(sandbox.id) }
    switch disposal {
    case .discard: pool.discard(sandbox)
    case .keep, .reuse:
      pool.give(
        sandbox, tenant: Int64(truncatingIfNeeded: tenant.index), keepsState: disposal == .keep)
    }
  }

  func waitForChange() { pool.waitForChange(atMost: .seconds(5)) }

  func close() { pool.close() }

  /// Host function 1.
  static func fetch(_ call: HostCall) throws -> [UInt8] {
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
