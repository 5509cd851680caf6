import ArgumentParser
import Logging
import NubBroker
import NubConfiguration
import NubLifecycle
import NubMachine
import NubProcess
import NubWorker

/// What worker and broker can be told about their process: whom it runs as, and what it gives up.
struct ProcessSettings {
  var user: String?
  var filtersCalls = true
  var allowsDumps = false

  static func logger(_ label: String, _ level: Logger.Level) -> Logger {
    var logger = Logger(label: label) { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = level
    return logger
  }

  /// A process with one sandbox is larger than less: its doors would be closed and opened for ever.
  static let leastMemory = 64 << 20

  static func check(maximumMemory bytes: some BinaryInteger) throws(SettingConflict) {
    guard bytes != 0, bytes < leastMemory else { return }
    throw SettingConflict("max-memory is \(bytes); 0, or \(leastMemory) and more, is allowed")
  }

  static let userHelp =
    "Become this user before anything is read from outside; for a start as root. Store and keys must be the user's."
  static let seccompHelp =
    "Have the kernel refuse what this process never asks of it: other programs, mounts, tracing, modules, ..."
  static let dumpsHelp = "Allow core files of this process, which hold what tenants sent, and debuggers."

  /// Gives up what is not needed. Before threads, sockets, keys and the store; what is wrong ends the command.
  ///
  /// - Parameters:
  ///   - storePath: checked, because a user who may not write there is the usual mistake.
  ///   - usesKVM: opened first, so that the user need not be allowed to.
  func confine(storePath: String? = nil, usesKVM: Bool = false, logger: Logger) throws {
    do {
      try Privileges.allowNoNew()
      if let user {
        let account = try UserAccount(named: user)
        if usesKVM, Privileges.isRoot { try KVMAccess.keep() }
        try Privileges.drop(to: account)
      } else if Privileges.isRoot {
        logger.warning("runs as root; --user NAME gives that up")
      }
      try Privileges.allowDumps(allowsDumps)
      if let storePath {
        // What else may be wrong with it, the store says in its own words.
        if user != nil { try FilePermissions.checkFolder(of: storePath) }
        if let exposure = FilePermissions.exposure(of: storePath) {
          logger.warning("the store is open to others", metadata: ["file": "\(exposure)"])
        }
      }
      if filtersCalls {
        CrashHandlers.remove()
        try SystemCallFilter.install()
      }
    } catch {
      throw EndStatus.exit(saying: error)
    }
  }
}

extension EndStatus {
  /// Ends a command of a worker or broker that cannot start: the reason on standard error, and the status for whoever started it.
  static func exit(saying error: any Error) -> ExitCode {
    let status = EndStatus(error)
    Output.error("nub: \(error)")
    return ExitCode(status.rawValue)
  }
}

extension WorkerCommand: ConfinedCommand {
  func confine() throws {
    let settings = try options.configure().root
    guard !options.printConfig else { return }
    try settings.process.confine(
      storePath: settings.worker.storePath, usesKVM: settings.worker.engine == .kvm,
      logger: ProcessSettings.logger("nub.worker", settings.logLevel))
  }
}

extension BrokerCommand: ConfinedCommand {
  func confine() throws {
    let settings = try options.configure().root
    guard !options.printConfig else { return }
    try settings.process.confine(
      logger: ProcessSettings.logger("nub.broker", settings.logLevel))
  }
}

extension ServiceManager {
  /// Tells the manager how a worker is.
  ///
  /// - Returns: the manager, to be told of reloads; nil where there is none.
  static func watch(_ configuration: inout WorkerConfiguration) throws -> ServiceManager? {
    guard let manager = try start(configuration.logger) else { return nil }
    configuration.onHealth = { manager.look(ServiceReport($0)) }
    return manager
  }

  /// Tells the manager how a broker is: as long as its thread goes round, all is well.
  static func watch(_ options: inout BrokerServer.Options, logger: Logger) throws -> ServiceManager? {
    guard let manager = try start(logger) else { return nil }
    options.onTurn = { isDraining, waiting in
      manager.look(
        ServiceReport(
          phase: isDraining ? .stopping : .up, isLive: true,
          status: "\(isDraining ? "draining" : "serving"): \(waiting) requests wait"))
    }
    return manager
  }

  private static func start(_ logger: Logger) throws -> ServiceManager? {
    do {
      return try fromEnvironment(logger: logger)
    } catch {
      throw EndStatus.exit(saying: error)
    }
  }
}

extension Optional where Wrapped == ServiceManager {
  /// Tells the manager around it, if there is one.
  func reload(_ body: () -> Void) {
    if let manager = self { manager.reload(body) } else { body() }
  }
}

extension ServiceReport {
  init(_ report: Health.Report) {
    let phase: Phase =
      switch report.phase {
      case .starting: .starting
      case .serving, .quiet: .up
      case .draining, .stopped: .stopping
      }
    let trouble = [
      report.stuck.isEmpty ? nil : "no progress: \(report.stuck.joined(separator: ", "))",
      report.storeRefusal.map { "store: \($0)" }, report.sandboxProblem.map { "sandboxes: \($0)" },
    ]
    let load = "\(report.inFlight) jobs in flight, \(report.waiting) wait"
    self.init(
      phase: phase, isLive: report.isLive,
      status: "\(report.phase.rawValue): \((trouble.compactMap(\.self) + [load]).joined(separator: "; "))")
  }
}
