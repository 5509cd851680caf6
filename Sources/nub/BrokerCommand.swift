import ArgumentParser
import Glibc
import Logging
import NubBroker
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

  @Option(name: .customLong("bind"), help: "An endpoint to bind; may be repeated.")
  var endpoints = ["tcp://127.0.0.1:7710"]

  @Option(help: "What replies call this broker.")
  var name = "broker"

  @Option(help: ArgumentHelp("The broker's secret key (nub keygen); turns CURVE on.", valueName: "file"))
  var curveSecret: String?

  @Option(help: ArgumentHelp("The directory of *.pub files of admitted peers.", valueName: "dir"))
  var authorizedKeys: String?

  @Flag(help: "Allow plaintext on endpoints that other machines can reach.")
  var insecure = false

  @Option(help: ArgumentHelp("Milliseconds between heartbeats; workers need the same.", valueName: "ms"))
  var heartbeat: UInt64 = 2_500

  @Option(help: "Heartbeats that may be missing before a worker counts as gone.")
  var liveness: UInt64 = 3

  @Option(help: "Requests that may wait for each service.")
  var queueLimit = 10_000

  @Option(help: "Bytes that waiting requests may hold in all.")
  var queueBytes = 512 << 20

  @Option(help: ArgumentHelp("How long a request waits for a service without workers.", valueName: "ms"))
  var serviceTimeout: UInt64 = 30_000

  @Option(help: "Which jobs of dead workers are given to others: safe (all but calls), always, never.")
  var redeliver = "safe"

  @Option(help: ArgumentHelp("How long a stop waits for replies.", valueName: "seconds"))
  var drainTimeout: UInt64 = 10

  @Option(help: "trace, debug, info, notice, warning, error or critical.")
  var logLevel = "info"

  mutating func validate() throws {
    guard !endpoints.isEmpty else { throw ValidationError("--bind is needed at least once") }
    guard (1...3_600_000).contains(heartbeat) else { throw ValidationError("--heartbeat is 1 to 3600000 ms") }
    guard (1...100).contains(liveness) else { throw ValidationError("--liveness is 1 to 100") }
    guard (1...10_000_000).contains(queueLimit) else {
      throw ValidationError("--queue-limit is 1 to 10000000")
    }
    guard (1 << 20...1 << 40).contains(queueBytes) else {
      throw ValidationError("--queue-bytes is 1 MiB to 1 TiB")
    }
    guard serviceTimeout <= 86_400_000 else { throw ValidationError("--service-timeout is a day at most") }
    guard drainTimeout <= 3_600 else { throw ValidationError("--drain-timeout is an hour at most") }
    guard BrokerConfiguration.Redelivery(rawValue: redeliver) != nil else {
      throw ValidationError("--redeliver is safe, always or never")
    }
    guard Logger.Level(rawValue: logLevel) != nil else {
      throw ValidationError("--log-level: no level \(logLevel)")
    }
    guard (curveSecret == nil) == (authorizedKeys == nil) else {
      throw ValidationError("--curve-secret and --authorized-keys are of use together only")
    }
    for endpoint in endpoints {
      try EndpointPolicy.check(endpoint, isEncrypted: curveSecret != nil, allowsInsecure: insecure)
    }
  }

  mutating func run() throws {
    var logger = Logger(label: "nub.broker") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info
    let context = try Context(maxSockets: 65_535)
    var curve: (server: CurveServer, authenticator: Authenticator)?
    if let curveSecret, let authorizedKeys {
      let keys = try AuthorizedKeys(directory: authorizedKeys, logger: logger)
      curve = (
        CurveServer(keys: try KeyFile.readSecret(curveSecret)),
        try Authenticator(context: context, keys: keys, logger: logger)
      )
    }
    var configuration = BrokerConfiguration()
    configuration.name = name
    configuration.heartbeat = heartbeat
    configuration.liveness = liveness
    configuration.requestsPerService = queueLimit
    configuration.requests = max(configuration.requests, queueLimit)
    configuration.waitingBytes = queueBytes
    configuration.serviceTimeout = serviceTimeout
    configuration.redelivery = BrokerConfiguration.Redelivery(rawValue: redeliver) ?? .safe
    var options = BrokerServer.Options()
    options.drain = drainTimeout * 1_000
    let stopper = try BrokerServer.Stopper()
    BrokerSignals.install(stopper)
    var server = try BrokerServer(
      context: context, endpoints: endpoints, configuration: configuration, options: options, curve: curve,
      stopper: stopper, logger: logger)
    logger.notice(
      "serving",
      metadata: ["endpoints": "\(server.endpoints)", "curve": "\(curve != nil)", "pid": "\(getpid())"])
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
