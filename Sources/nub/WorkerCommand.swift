import ArgumentParser
import Foundation
import Logging
import NubWorker

struct WorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Run a worker until SIGTERM or SIGINT.",
    discussion: """
      Opens every door named; without one it serves tcp://127.0.0.1:7700. An endpoint is tcp://HOST:PORT, ipc://PATH; `@` \
      in front binds, `>` connects. The first SIGTERM or SIGINT drains: what was taken is finished, replies are sent, \
      exit status 0. The second ends at once.
      """)

  @Option(
    help: ArgumentHelp("Direct door: ROUTER, for any DEALER or REQ. Repeatable.", valueName: "endpoint"))
  var serve: [String] = []

  @Option(
    help: ArgumentHelp(
      "Pipeline door: jobs are pulled here and journaled. With --replies.", valueName: "endpoint"))
  var jobs: [String] = []

  @Option(
    help: ArgumentHelp(
      "Pipeline door: replies are pushed here, in the order of --jobs.", valueName: "endpoint"))
  var replies: [String] = []

  @Option(
    help: ArgumentHelp(
      "Fleet door: a Majordomo broker to connect to (nub broker). With --service.", valueName: "endpoint"))
  var broker: [String] = []

  @Option(
    help: ArgumentHelp(
      "What the fleet calls this worker's service, in the order of --broker.", valueName: "name"))
  var service: [String] = []

  @Option(help: "Jobs in flight towards each broker.")
  var fleetSlots = 64

  @Option(
    help: ArgumentHelp("Between heartbeats to and from brokers. Default: 2500.", valueName: "milliseconds"))
  var fleetHeartbeat: UInt64?

  @Option(
    help: ArgumentHelp("This worker's secret key (nub keygen); turns CURVE on for TCP.", valueName: "file"))
  var curveSecret: String?

  @Option(
    help: ArgumentHelp(
      "The directory of *.pub files of admitted peers, for doors that bind.", valueName: "folder"))
  var authorizedKeys: String?

  @Option(
    help: ArgumentHelp(
      "The public key of the broker, or of what other doors connect to.", valueName: "key or file"))
  var curveServer: String?

  @Option(
    help: "The store, one SQLite file. Default: NUB_STORE, else nub.db in this folder.", completion: .file())
  var store: String?

  @Option(help: "Threads that run sandboxes. Default: one for each processor.")
  var lanes: Int?

  @Option(help: "kvm, or inprocess: WITHOUT isolation, for development only. Default: NUB_ENGINE, else kvm.")
  var engine: String?

  @Option(help: "A guest image of your own (see `nub guest build`). Default: nub's.", completion: .file())
  var guest: String?

  @Option(
    help: ArgumentHelp(
      "Write a core file here when a guest faults (see docs/debugging.md).", valueName: "folder"),
    completion: .directory)
  var crashDumps: String?

  @Option(
    help: ArgumentHelp(
      "Let gdb attach to the guest on this loopback port, 0 for any. With --lanes 1, for development.",
      valueName: "port"))
  var gdb: UInt16?

  @Option(
    help: "What replies and the store call this worker, at most 64 bytes. Default: host name and process id.")
  var name: String?

  @Option(help: "full: a reply survives a power cut. normal: it survives the worker's death.")
  var durability = "full"

  @Option(help: ArgumentHelp("Bytes of guest heap, a multiple of 2 MiB.", valueName: "bytes"))
  var guestHeap: UInt64?

  @Option(
    help: ArgumentHelp("The longest that a job may run, whatever it asks for.", valueName: "milliseconds"))
  var maxRun: UInt32?

  @Option(help: ArgumentHelp("Bytes of store from which new work is refused.", valueName: "bytes"))
  var maxStore: Int64?

  @OptionGroup(title: "Retention")
  var retention: RetentionOptions

  @Option(help: ArgumentHelp("How long a drain may take.", valueName: "seconds"))
  var drainTimeout: Int?

  @Flag(help: "Allow TCP off loopback without encryption.")
  var insecure = false

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  func run() throws {
    let configuration: WorkerConfiguration
    let worker: Worker
    do {
      configuration = try makeConfiguration()
      worker = try Worker(configuration)
    } catch let error as WorkerError {
      throw ValidationError(error.description)
    }
    if configuration.engine == .inprocess {
      configuration.logger.warning(
        "engine inprocess: guest code runs in this process WITHOUT isolation; for development only")
    }
    do {
      try worker.run { endpoints in
        configuration.logger.info(
          "serving",
          metadata: [
            "endpoints": "\(endpoints.joined(separator: " "))", "engine": "\(configuration.engine.rawValue)",
          ])
      }
    } catch {
      throw CommandFailure("the worker cannot run: \(error)")
    }
  }

  private func makeConfiguration() throws -> WorkerConfiguration {
    guard jobs.count == replies.count else {
      throw ValidationError("--jobs and --replies go together: \(jobs.count) and \(replies.count) were given")
    }
    guard let level = Logger.Level(rawValue: logLevel) else {
      throw ValidationError(
        "--log-level is \(logLevel); one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    let engineName = engine ?? Environment.engine ?? "kvm"
    guard let engine = WorkerConfiguration.Engine(rawValue: engineName) else {
      throw ValidationError("--engine is \(engineName); kvm or inprocess")
    }
    guard let durability = WorkerConfiguration.Durability(rawValue: durability) else {
      throw ValidationError("--durability is \(durability); full or normal")
    }
    var doors: [WorkerConfiguration.Door] = []
    for endpoint in serve { doors.append(.direct(try Endpoint(parsing: endpoint, default: .bind))) }
    for (job, reply) in zip(jobs, replies) {
      doors.append(
        .pipeline(
          jobs: try Endpoint(parsing: job, default: .bind),
          replies: try Endpoint(parsing: reply, default: .bind)))
    }
    guard broker.count == service.count else {
      throw ValidationError(
        "--broker and --service go together: \(broker.count) and \(service.count) were given")
    }
    for (endpoint, service) in zip(broker, service) {
      doors.append(
        .fleet(
          broker: try Endpoint(parsing: endpoint, default: .connect), service: service, slots: fleetSlots))
    }
    if doors.isEmpty {
      doors = [
        .direct(
          try Endpoint(parsing: Environment.endpoint ?? WorkerConfiguration.defaultEndpoint, default: .bind))
      ]
    }
    var configuration = WorkerConfiguration(
      name: name
        ?? "\(ProcessInfo.processInfo.hostName.prefix(48))-\(ProcessInfo.processInfo.processIdentifier)",
      storePath: store ?? Environment.store ?? "nub.db", doors: doors,
      lanes: lanes ?? max(1, ProcessInfo.processInfo.activeProcessorCount))
    configuration.version = Nub.version
    configuration.engine = engine
    configuration.guestPath = guest
    configuration.crashDumpPath = crashDumps
    configuration.debuggerPort = gdb
    configuration.crashDumpPath = crashDumps
    configuration.debuggerPort = gdb
    configuration.durability = durability
    if let guestHeap { configuration.guestHeapBytes = guestHeap }
    if let maxRun { configuration.maximumRunMilliseconds = maxRun }
    configuration.maximumStoreBytes = maxStore
    try retention.apply(to: &configuration.retention)
    if let drainTimeout {
      configuration.drainMilliseconds = drainTimeout.multipliedReportingOverflow(by: 1000).partialValue
    }
    configuration.allowsInsecure = insecure
    configuration.fleetHeartbeatMilliseconds = fleetHeartbeat
    if let curveSecret {
      configuration.curve = CurveConfiguration(
        secretKeyPath: curveSecret, authorizedKeysPath: authorizedKeys, serverKey: curveServer)
    } else if authorizedKeys != nil || curveServer != nil {
      throw ValidationError("--authorized-keys and --curve-server need --curve-secret, this worker's own key")
    }
    configuration.handlesSignals = true
    var logger = Logger(label: "nub.worker") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = level
    configuration.logger = logger
    return configuration
  }
}
