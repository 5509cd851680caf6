internal import Glibc
internal import Logging
internal import NubBroker
internal import NubJSON
internal import NubSecurity
internal import NubStore
internal import NubZMQ

/// The worker's parts, wired together: sockets and desk on the calling thread, one thread per lane, one for commits.
///
/// They end in the order in which work flows: doors, lanes, committer, and then the sockets, whose last replies the context still
/// delivers for as long as they linger.
struct WorkerService: ~Copyable {
  private let configuration: WorkerConfiguration
  private let wakeup: Wakeup
  private let request: ShutdownRequest
  private let store: any Store
  private let source: any LaneEngineSource
  private let health: Health
  private let admission: Admission
  private let pulses: Pulses
  private let board: WorkerBoard

  init(
    _ configuration: WorkerConfiguration, wakeup: Wakeup, request: ShutdownRequest, store: any Store,
    source: any LaneEngineSource, health: Health, admission: Admission,
    board: WorkerBoard
  ) {
    self.configuration = configuration
    self.wakeup = wakeup
    self.request = request
    self.store = store
    self.source = source
    self.health = health
    self.admission = admission
    pulses = Pulses(lanes: configuration.lanes)
    self.board = board
  }

  func run(onReady: ([String]) -> Void) throws(WorkerError) {
    let logger = configuration.logger
    let outbox = Outbox(wakeup: wakeup)
    var policy = SchedulerPolicy()
    policy.batchJobs = configuration.batchJobs
    let queue = WorkQueue(policy: policy)
    let committer = Committer()
    let control = LaneControl(lanes: configuration.lanes)

    let context: Context
    var poller = PollSet()
    var doors: [Door] = []
    var endpoints: [String] = []
    do throws(ZMQError) {
      context = try Context(maxSockets: 65_535)
    } catch {
      throw WorkerError(.transport, "cannot start ZeroMQ", cause: error)
    }
    poller.add(fileDescriptor: wakeup.fileDescriptor, for: .readable)
    let reader = try openReader()
    let threads = try startThreads(queue, committer, outbox, control)
    let fleets: [FleetBridge]
    // Kept as long as the sockets that it guards.
    let curve: CurveGuard?
    do throws(WorkerError) {
      curve = try configuration.curve.map { (keys) throws(WorkerError) in
        try CurveGuard(keys, context: context, worker: configuration)
      }
      admission.use(curve)
      for (index, door) in configuration.doors.enumerated() {
        let opened = try Door.open(
          door, index: index, configuration: configuration, context: context, curve: curve, poller: &poller)
        doors.append(opened.door)
        endpoints.append(contentsOf: opened.endpoints)
      }
      fleets = try Fleets.start(configuration, context: context, curve: curve)
    } catch {
      abandon(threads, queue, committer)
      throw error
    }
    let desk = FrontDesk(
      FrontDesk.Parts(
        doors: doors, store: store, reader: reader, queue: queue, committer: committer, outbox: outbox,
        wakeup: wakeup, shutdown: request, lanes: control, fleets: fleets, pulse: pulses.door, health: health,
        board: board, logger: logger),
      poller: poller, limits: deskLimits, protocolLimits: protocolLimits, identity: identity,
      metrics: WorkerMetrics())
    logger.info(
      "serving",
      metadata: [
        "endpoints": "\(endpoints.joined(separator: " "))", "engine": "\(configuration.engine.rawValue)",
        "lanes": "\(configuration.lanes)", "pid": "\(getpid())",
      ])
    board.open(
      WorkerSnapshot(
        name: configuration.name, version: configuration.version, engine: source.name, endpoints: endpoints),
      lanes: control, functions: source.functions)
    onReady(endpoints)

    let result = Result { () throws(ZMQError) in try desk.run() }
    // From here on it waits for the others.
    pulses.door.rest()
    queue.close()
    source.close()
    // Nothing runs any more unless the end was forced.
    while control.stop() { usleep(5_000) }
    threads.joinLanes()
    committer.close()
    threads.joinCommitter()
    desk.deliverFinished()
    desk.answerUnfinished()
    // After the last reply: the fleets' threads pass it on before they say goodbye.
    for fleet in fleets { fleet.stop() }
    withExtendedLifetime(curve) {}
    threads.endWatchdog()
    health.update { $0.phase = .stopped }
    logger.info("stopped")
    if case .failure(let error) = result { throw WorkerError(.transport, "the doors failed", cause: error) }
  }

  private func openReader() throws(WorkerError) -> any StoreReader {
    do throws(StoreError) {
      return try store.makeReader()
    } catch {
      throw WorkerError(.store, "cannot open the store for reading", cause: error)
    }
  }

  private func startThreads(
    _ queue: WorkQueue, _ committer: Committer, _ outbox: Outbox, _ control: LaneControl
  ) throws(WorkerError) -> WorkerThreads {
    let threads = WorkerThreads()
    let source = source
    let logger = configuration.logger
    let turn: CommitTurn
    var readers: [Handover<any StoreReader>] = []
    do throws(StoreError) {
      let writer = try store.makeWriter(
        NubStore.WorkerIdentity(
          name: configuration.name, host: HostName.current, pid: getpid(), version: configuration.version))
      let image = try source.image.map { (image) throws(StoreError) in try writer.image(image) }
      turn = CommitTurn(
        CommitLoop(
          committer: committer, store: store, writer: writer, queue: queue, outbox: outbox,
          engine: source.kind,
          image: image, retention: configuration.retention.policy, pulse: pulses.committer, logger: logger),
        committer: committer)
      for _ in 0..<configuration.lanes { readers.append(Handover(try store.makeReader())) }
    } catch {
      throw WorkerError(.store, "cannot open the store", cause: error)
    }
    do throws(WorkerError) {
      try threads.startWatchdog(
        pulses, health: health, patience: UInt64(configuration.stallMilliseconds),
        // Whoever debugs a guest may hold it for as long as they like.
        longestJob: configuration.debuggerPort == nil ? UInt64(configuration.maximumRunMilliseconds) : nil,
        logger: logger, onTick: configuration.onHealth)
      try threads.startCommitter { turn.run() }
      for index in 0..<configuration.lanes {
        let caps = LaneCaps(
          reader: readers[index].value, committer: committer, maximumBytes: configuration.maximumBodyBytes)
        let limits = LaneLimits(maximumRunMilliseconds: configuration.maximumRunMilliseconds)
        let health = health
        let pulse = pulses.lanes[index]
        try threads.startLane(index) {
          Lane(
            index: index, queue: queue, committer: committer, turn: turn, source: source, caps: caps,
            control: control, limits: limits, pulse: pulse, health: health, logger: logger
          ).run()
        }
      }
    } catch {
      abandon(threads, queue, committer)
      throw error
    }
    return threads
  }

  /// Ends the threads of a worker that cannot start.
  private func abandon(_ threads: WorkerThreads, _ queue: WorkQueue, _ committer: Committer) {
    queue.close()
    source.close()
    threads.joinLanes()
    committer.close()
    threads.joinCommitter()
    threads.endWatchdog()
  }

  private var deskLimits: FrontDeskLimits {
    var limits = FrontDeskLimits()
    limits.capAgeMilliseconds = configuration.retention.policy.caps
    limits.maximumJobs = configuration.maximumJobs
    limits.maximumBytes = configuration.maximumJobBytes
    limits.residentBytes = configuration.maximumMemory.map { Int(clamping: $0) } ?? ProcessMemory.defaultLimit
    limits.drainMilliseconds = configuration.drainMilliseconds
    // On one processor it would take the time from those it waits for.
    limits.pollMicroseconds = sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? configuration.pollMicroseconds : 0
    return limits
  }

  private var protocolLimits: ProtocolLimits {
    var limits = ProtocolLimits()
    limits.bodyBytes = configuration.maximumBodyBytes
    limits.messageBytes = configuration.maximumMessageBytes
    return limits
  }

  private var identity: DeskIdentity {
    let functions = source.functions.map { "{\"id\":\($0.id),\"name\":\(JSONString.quoted($0.name))}" }
    let body = """
      {"version":\(JSONString.quoted(configuration.version)),"worker":\(JSONString.quoted(configuration.name)),\
      "engine":\(JSONString.quoted(source.name)),"lanes":\(configuration.lanes),\
      "limits":{"body_bytes":\(configuration.maximumBodyBytes),"message_bytes":\(configuration.maximumMessageBytes),\
      "run_ms":\(configuration.maximumRunMilliseconds),"jobs":\(configuration.maximumJobs)},\
      "functions":[\(functions.joined(separator: ","))]}
      """
    return DeskIdentity(
      name: configuration.name, engine: source.name, version: configuration.version,
      pingBody: Array(body.utf8))
  }
}

enum HostName {
  static var current: String {
    var name = [CChar](repeating: 0, count: 256)
    guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// Carries a value that belongs to one thread to the thread that it will belong to.
private struct Handover<Value>: @unchecked Sendable {
  // Made by the starting thread, which does not touch it afterwards; starting a thread orders the two.
  let value: Value
  init(_ value: Value) { self.value = value }
}
