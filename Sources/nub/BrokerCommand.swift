import ArgumentParser
import Glibc
import Logging
import NubBroker
import NubConfiguration
import NubHTTP
import NubProcess
import NubSecurity
import NubZMQ

/// `nub broker`: a Majordomo broker (RFC 7 and 8) between producers and a fleet of workers.
struct BrokerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "broker",
    abstract: "Distribute jobs to a fleet of workers (Majordomo, RFC 7).",
    discussion: """
      Producers and workers connect to the same endpoints. SIGTERM stops: waiting jobs are given back (unavailable), \
      what workers have in hand is still answered, within --drain-timeout; a second signal ends at once.
      """)

  @OptionGroup var options: ConfigurationOptions<BrokerSettings>

  func run() throws {
    let configured = try options.configure()
    var settings = configured.root
    let address: HTTPAddress?
    do {
      try settings.check()
      address = try settings.http.check()
    } catch let error as SettingConflict {
      throw ValidationError(error.description)
    } catch let error as SecurityError {
      throw ValidationError(error.message)
    }
    if options.printConfig { return try options.print(configured) }
    var logger = Logger(label: "nub.broker") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = settings.logLevel
    try ServiceManager.watch(&settings.server, logger: logger)
    let context = try Context(maxSockets: 65_535)
    var curve: (server: CurveServer, authenticator: Authenticator)?
    if let secret = settings.curveSecret, let authorized = settings.authorizedKeys {
      let keys = try AuthorizedKeys(directory: authorized, logger: logger)
      curve = (
        CurveServer(keys: try KeyFile.readSecret(secret)),
        try Authenticator(context: context, keys: keys, logger: logger)
      )
    }
    var configuration = settings.broker
    configuration.requests = max(configuration.requests, configuration.requestsPerService)
    let stopper = try BrokerServer.Stopper()
    BrokerSignals.install(stopper)
    var server = try BrokerServer(
      context: context, endpoints: settings.endpoints, configuration: configuration, options: settings.server,
      curve: curve,
      stopper: stopper, logger: logger)
    logger.notice(
      "serving",
      metadata: ["endpoints": "\(server.endpoints)", "curve": "\(curve != nil)", "pid": "\(getpid())"])
    var site: HTTPServer?
    if let address {
      let content = BrokerSite(
        board: server.board, name: configuration.name, version: Nub.version,
        registry: settings.http.bootstrap())
      site = try settings.http.serve(content, at: address, logger: logger)
    }
    defer { site?.stop() }
    try server.run()
  }
}

/// SIGTERM and SIGINT stop the broker. A handler may only do what signal-safety(7) allows: an atomic and a write(2).
private enum BrokerSignals {
  /// Set once, before the handlers that read it.
  nonisolated(unsafe) private static var target: Unmanaged<BrokerServer.Stopper>?

  static func install(_ stopper: BrokerServer.Stopper) {
    // Retained for the rest of the process, which is as long as a signal may come.
    target = Unmanaged.passRetained(stopper)
    for number in [SIGTERM, SIGINT] {
      signal(number) { _ in BrokerSignals.target?.takeUnretainedValue().stop() }
    }
    // A closed pipe or socket is an error code, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
  }
}
