import ArgumentParser
import Foundation
import Logging
import NubConfiguration
import NubLifecycle
import NubMachine
import NubStore
import NubWorker

/// What `nub worker` can be told. A new option is a line in the table, and where nothing else fits, a property.
struct WorkerSettings: Configurable {
  var worker: WorkerConfiguration
  var serve: [String] = []
  var jobs: [String] = []
  var replies: [String] = []
  var brokers: [String] = []
  var services: [String] = []
  var fleetSlots = 64
  var endpoint = WorkerConfiguration.defaultEndpoint
  var curveSecret: String?
  var authorizedKeys: String?
  var curveServer: String?
  var logLevel = Logger.Level.info
  var http = HTTPSettings()
  var process = ProcessSettings()
  var control: String?

  init() {
    let process = ProcessInfo.processInfo
    worker = WorkerConfiguration(
      name: "\(process.hostName.prefix(48))-\(process.processIdentifier)", storePath: "nub.db", doors: [],
      lanes: max(1, process.activeProcessorCount))
    worker.version = Nub.version
  }

  static let settings: [Setting<WorkerSettings>] = [
    .list("serve", \.serve, value: "endpoint", "Direct door: ROUTER, for any DEALER or REQ. Repeatable."),
    .list(
      "jobs", \.jobs, value: "endpoint",
      "Pipeline door: jobs are pulled here and journaled. With --replies."),
    .list(
      "replies", \.replies, value: "endpoint",
      "Pipeline door: replies are pushed here, in the order of --jobs."),
    .list(
      "broker", \.brokers, value: "endpoint",
      "Fleet door: a Majordomo broker to connect to (nub broker). With --service."),
    .list(
      "service", \.services, value: "name",
      "What the fleet calls this worker's service, in the order of --broker."),
    .integer("fleet-slots", \.fleetSlots, 1...4_096, "Jobs in flight towards each broker."),
    .integer(
      "fleet-heartbeat", \.worker.fleetHeartbeatMilliseconds, 1...3_600_000, value: "milliseconds",
      "Between heartbeats to and from brokers."),
    .text("endpoint", \.endpoint, "The direct door where no door is named; clients use it, too."),
    .text(
      "curve-secret", \.curveSecret, value: "file", completion: .file,
      "This worker's secret key (nub keygen); turns CURVE on for TCP."),
    .text(
      "authorized-keys", \.authorizedKeys, value: "folder", completion: .directory,
      "The directory of *.pub files of admitted peers, for doors that bind."),
    .text(
      "curve-server", \.curveServer, value: "key or file",
      "The public key of the broker, or of what other doors connect to."),
    .flag("insecure", \.worker.allowsInsecure, "Allow TCP off loopback without encryption."),
    .text("store", \.worker.storePath, completion: .file, "The store, one SQLite file."),
    .integer(
      "max-store", \.worker.maximumStoreBytes, 1 << 20...1 << 50, value: "bytes",
      "Bytes of store from which new work is refused."),
    .age(
      "keep-results", \.worker.retention.results,
      "Keep results of status ok this long; then their job ids are new again."),
    .age("keep-failures", \.worker.retention.failures, "Keep results of any other status this long."),
    .age(
      "keep-bodies", \.worker.retention.bodies,
      "Keep the requests of failed jobs, for `nub results retry`, this long."),
    .age(
      "keep-caps", \.worker.retention.caps,
      "Keep caps this long after their last use, unless another cap refers to them."),
    .choice(
      "durability", \.worker.durability,
      "full: a reply survives a power cut. normal: it survives the worker's death."),
    .integer(
      "lanes", \.worker.lanes, 1...1_024, default: "one for each processor", "Threads that run sandboxes."),
    .integer(
      "max-sandboxes", \.worker.maximumSandboxes, 1...100_000, default: "four for each lane",
      "Sandboxes in all: what lanes leave over is kept warm, or kept for tenants that come back."),
    .integer(
      "max-memory", \.worker.maximumMemory, 0...1 << 50, value: "bytes",
      default: "three quarters of the machine's, or of the control group's",
      "Resident bytes over which doors are closed and opened again (see docs/security.md); 0 for never."),
    .choice("engine", \.worker.engine, "kvm, or inprocess: WITHOUT isolation, for development only."),
    .text(
      "guest", \.worker.guestPath, completion: .file, default: "nub's",
      "A guest image of your own (see `nub guest build`)."),
    .integer(
      "guest-heap", \.worker.guestHeapBytes,
      Int(SandboxConfiguration.heapSizes.lowerBound)...Int(SandboxConfiguration.heapSizes.upperBound),
      step: Int(SandboxConfiguration.heapGranule), value: "bytes",
      "Bytes of guest heap: a multiple of 2 MiB, at most 16 GiB."),
    .integer(
      "max-run", \.worker.maximumRunMilliseconds, 1...86_400_000, value: "milliseconds",
      "The longest that a job may run, whatever it asks for."),
    .integer(
      "poll", \.worker.pollMicroseconds, 0...100_000, value: "microseconds",
      "Look out for the answer of a lone job for this long before sleeping; 0 saves CPU and costs latency."),
    .text(
      "crash-dumps", \.worker.crashDumpPath, value: "folder", completion: .directory,
      "Write a core file here when a guest faults (see docs/debugging.md)."),
    .integer(
      "gdb", \.worker.debuggerPort, 0...65_535, value: "port",
      "Let gdb attach to the lanes' sandboxes on this loopback port and those behind it, 0 for any. For development."
    ),
    .text(
      "name", \.worker.name, default: "host name and process id",
      "What replies and the store call this worker, at most 64 bytes."),
    .integer(
      "drain-timeout", \.worker.drainMilliseconds, 0...3_600, scale: 1_000, value: "seconds",
      "How long a drain may take."),
    .integer(
      "stall-timeout", \.worker.stallMilliseconds, 1...3_600, scale: 1_000, value: "seconds",
      "How long a thread with work may make no step before /livez says so; lanes have --max-run on top."),
    .text("user", \.process.user, value: "name", ProcessSettings.userHelp),
    .flag("seccomp", \.process.filtersCalls, ProcessSettings.seccompHelp),
    .flag("core-dumps", \.process.allowsDumps, ProcessSettings.dumpsHelp),
    .text("http", \.http.address, value: "[host:]port", HTTPSettings.help),
    .list("http-host", \.http.hosts, value: "name", HTTPSettings.hostHelp),
    .flag("http-insecure", \.http.allowsInsecure, HTTPSettings.insecureHelp),
    .text("control", \.control, value: "path", completion: .file, ControlSetting.help),
    .choice("log-level", \.logLevel, "The least that is logged."),
  ]

  /// The worker's configuration, with what only all settings together can say.
  ///
  /// - Throws: ``CommandFailure`` or `WorkerError` for settings that contradict each other.
  func makeConfiguration() throws -> WorkerConfiguration {
    var configuration = worker
    configuration.doors = try makeDoors()
    try ProcessSettings.check(maximumMemory: configuration.maximumMemory ?? 0)
    do throws(StoreError) {
      try SQLiteStore.check(path: configuration.storePath)
    } catch {
      throw SettingConflict("--store: \(error.message)")
    }
    if let curveSecret {
      configuration.curve = CurveConfiguration(
        secretKeyPath: curveSecret, authorizedKeysPath: authorizedKeys, serverKey: curveServer)
    } else if authorizedKeys != nil || curveServer != nil {
      throw SettingConflict("--authorized-keys and --curve-server need --curve-secret, this worker's own key")
    }
    var logger = Logger(label: "nub.worker") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = logLevel
    configuration.logger = logger
    return configuration
  }

  /// Where `nub worker ctl` looks for a worker with these settings.
  var controlPlace: ControlPlace {
    get throws {
      guard control != ControlSetting.off else {
        throw ControlError(.nobody, "--control off: such a worker cannot be reached")
      }
      return try control.map { path throws(ControlError) in try ControlPlace(path: path) }
        ?? ControlPlace(store: worker.storePath)
    }
  }

  /// Where the operator reaches the worker; nil for nowhere. Beside the store it is a convenience, and a worker that cannot have it
  /// says so and works; a path that was named is a promise.
  func makeControl(of worker: Worker, _ configuration: WorkerConfiguration) throws -> ControlServer? {
    guard control != ControlSetting.off else { return nil }
    do throws(ControlError) {
      if let control {
        return try ControlServer(try ControlPlace(path: control), worker: worker, name: configuration.name)
      }
    } catch {
      Output.error("nub: the worker cannot run: \(error)")
      throw ExitCode((error.code == .place ? EndStatus.usage : .unreachable).rawValue)
    }
    do throws(ControlError) {
      return try ControlServer(
        ControlPlace(store: configuration.storePath), worker: worker, name: configuration.name)
    } catch {
      configuration.logger.warning(
        "nub worker ctl will not reach this worker", metadata: ["error": "\(error)"])
      return nil
    }
  }

  private func makeDoors() throws -> [WorkerConfiguration.Door] {
    guard jobs.count == replies.count else {
      throw SettingConflict(
        "--jobs and --replies go together: \(jobs.count) and \(replies.count) were given")
    }
    guard brokers.count == services.count else {
      throw SettingConflict(
        "--broker and --service go together: \(brokers.count) and \(services.count) were given")
    }
    var doors: [WorkerConfiguration.Door] = []
    for endpoint in serve { doors.append(.direct(try Endpoint(outside: endpoint, default: .bind))) }
    for (job, reply) in zip(jobs, replies) {
      doors.append(
        .pipeline(
          jobs: try Endpoint(outside: job, default: .bind),
          replies: try Endpoint(outside: reply, default: .bind)))
    }
    for (broker, service) in zip(brokers, services) {
      doors.append(
        .fleet(
          broker: try Endpoint(outside: broker, default: .connect), service: service, slots: fleetSlots))
    }
    return doors.isEmpty ? [.direct(try Endpoint(outside: endpoint, default: .bind))] : doors
  }
}

extension Endpoint {
  /// For a process by itself: an address inside of it is none.
  init(outside text: String, default attachment: Attachment) throws {
    try self.init(parsing: text, default: attachment)
    guard !address.hasPrefix("inproc:") else {
      throw SettingConflict("\(text) is inside this process alone: expected tcp://HOST:PORT or ipc://PATH")
    }
  }
}

extension Setting {
  /// How long something is kept; nil for ever.
  fileprivate static func age(
    _ key: String, _ path: any WritableKeyPath<Root, Int64?> & Sendable, _ help: String
  ) -> Setting {
    .parsed(
      key, path, value: "age", expected: "an age such as 90s, 15m, 12h or 7d, or forever,",
      parse: { Retention.age($0) }, text: { Retention.text($0) }, help)
  }
}
