import ArgumentParser
import Glibc
import Logging
import NubBroker
import NubConfiguration
import NubHTTP
import NubLifecycle
import NubProcess
import NubSecurity
import NubWorker
import NubZMQ

/// `nub broker`: a Majordomo broker (RFC 7 and 8) between producers and a fleet of workers.
struct BrokerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "broker",
    abstract: "Distribute jobs to a fleet of workers (Majordomo, RFC 7).",
    discussion: """
      Producers and workers connect to the same endpoints. SIGTERM stops: waiting jobs are given back (unavailable), \
      what workers have in hand is still answered, within --drain-timeout; a second signal ends at once, exit status 75. \
      SIGHUP reads the authorized keys again.
      """)

  @OptionGroup var options: ConfigurationOptions<BrokerSettings>

  func run() async throws {
    let configured = try options.configureToRun()
    var settings = configured.root
    let address: HTTPAddress?
    do {
      try settings.check()
      address = try settings.http.check()
    } catch let error as SettingConflict {
      throw ValidationError(error.description)
    } catch let error as WorkerError {
      throw ValidationError(error.description)
    } catch let error as SecurityError {
      throw ValidationError(error.message)
    }
    if options.printConfig { return try options.print(configured) }
    var logger = Logger(label: "nub.broker") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = settings.logLevel
    let manager = try ServiceManager.watch(&settings.server, logger: logger)
    let log = logger
    let context = try Context(maxSockets: 65_535)
    var curve: (server: CurveServer, authenticator: Authenticator)?
    if let secret = settings.curveSecret, let authorized = settings.authorizedKeys {
      do throws(SecurityError) {
        let keys = try AuthorizedKeys(directory: authorized, logger: logger)
        curve = (
          CurveServer(keys: try KeyFile.readSecret(secret)),
          try Authenticator(context: context, keys: keys, logger: logger)
        )
      } catch {
        throw EndStatus.exit(saying: error)
      }
    }
    let keys = curve?.authenticator.keys
    var configuration = settings.broker
    configuration.requests = max(configuration.requests, configuration.requestsPerService)
    let stopper = try BrokerServer.Stopper()
    var services = ProcessServices(logger: logger)
    services.signals = await ProcessSignals(
      within: .milliseconds(settings.server.drain), drain: { stopper.stop() }, stop: { stopper.stop() },
      reload: { manager.reload { keys?.reloadIfChanged() } })
    let process: BrokerProcess
    do throws(ZMQError) {
      process = BrokerProcess(
        try BrokerServer(
          context: context, endpoints: settings.endpoints, configuration: configuration,
          options: settings.server, curve: curve, stopper: stopper, logger: logger))
    } catch {
      Output.error("nub: the broker cannot run: \(error)\(Advice.after(error))")
      throw ExitCode(EndStatus(error).rawValue)
    }
    logger.notice(
      "serving",
      metadata: ["endpoints": "\(process.endpoints)", "curve": "\(curve != nil)", "pid": "\(getpid())"])
    if let address {
      let content = BrokerSite(
        board: process.board, handshakes: curve?.authenticator.tally, name: configuration.name,
        version: Nub.version,
        registry: settings.http.bootstrap())
      services.http = settings.http.server(content, at: address, logger: log)
    }
    try await services.run(named: "the broker") { prelude in
      BlockingService(
        name: "nub-broker", after: prelude, drain: { stopper.stop() },
        stop: {
          stopper.stop()
          stopper.stop()
        }, body: { try process.run() })
    }
  }
}

/// Carries a broker, which belongs to one thread, to the thread that it will belong to.
private final class BrokerProcess: @unchecked Sendable {
  // Made by the starting thread, which does not touch it afterwards; starting a thread orders the two, and `run` is called once.
  private var server: BrokerServer?
  let endpoints: [String]
  let board: BrokerBoard

  init(_ server: consuming BrokerServer) {
    endpoints = server.endpoints
    board = server.board
    self.server = consume server
  }

  func run() throws {
    guard var server = server.take() else { return }
    try server.run()
  }
}
