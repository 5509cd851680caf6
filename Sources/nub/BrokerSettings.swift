import Logging
import NubBroker
import NubConfiguration
import NubSecurity
import NubWorker

/// What `nub broker` can be told. A new option is a line in the table.
struct BrokerSettings: Configurable {
  var broker = BrokerConfiguration()
  var server = BrokerServer.Options()
  var endpoints = ["tcp://127.0.0.1:7710"]
  var curveSecret: String?
  var authorizedKeys: String?
  var allowsInsecure = false
  var logLevel = Logger.Level.info
  var http = HTTPSettings()
  var process = ProcessSettings()

  static let settings: [Setting<BrokerSettings>] = [
    .list("bind", \.endpoints, value: "endpoint", "An endpoint to bind. Repeatable."),
    .text("name", \.broker.name, "What replies call this broker."),
    .text(
      "curve-secret", \.curveSecret, value: "file", completion: .file,
      "The broker's secret key (nub keygen); turns CURVE on."),
    .text(
      "authorized-keys", \.authorizedKeys, value: "folder", completion: .directory,
      "The directory of *.pub files of admitted peers."),
    .flag("insecure", \.allowsInsecure, "Allow plaintext on endpoints that other machines can reach."),
    .integer(
      "heartbeat", \.broker.heartbeat, 1...3_600_000, value: "milliseconds",
      "Between heartbeats; workers need the same."),
    .integer("liveness", \.broker.liveness, 1...100, "Heartbeats missing before a worker counts as gone."),
    .integer(
      "queue-limit", \.broker.requestsPerService, 1...10_000_000, "Requests that may wait for each service."),
    .integer(
      "queue-bytes", \.broker.waitingBytes, 1 << 20...1 << 40, value: "bytes",
      "Bytes that waiting requests may hold in all."),
    .integer(
      "service-timeout", \.broker.serviceTimeout, 0...86_400_000, value: "milliseconds",
      "How long a request waits for a service without workers."),
    .integer(
      "max-memory", \.server.residentBytes, 0...1 << 50, value: "bytes",
      default: "three quarters of the machine's, or of the control group's",
      "Resident bytes over which the endpoints are closed and opened again; 0 for never."),
    .choice(
      "redeliver", \.broker.redelivery,
      "Which jobs of dead workers are given to others: safe (all but calls), always, never."),
    .integer(
      "drain-timeout", \.server.drain, 0...3_600, scale: 1_000, value: "seconds",
      "How long a stop waits for replies."),
    .text("user", \.process.user, value: "name", ProcessSettings.userHelp),
    .flag("seccomp", \.process.filtersCalls, ProcessSettings.seccompHelp),
    .flag("core-dumps", \.process.allowsDumps, ProcessSettings.dumpsHelp),
    .text("http", \.http.address, value: "[host:]port", HTTPSettings.help),
    .list("http-host", \.http.hosts, value: "name", HTTPSettings.hostHelp),
    .flag("http-insecure", \.http.allowsInsecure, HTTPSettings.insecureHelp),
    .choice("log-level", \.logLevel, "The least that is logged."),
  ]

  /// - Throws: ``SettingConflict``, `WorkerError` or `SecurityError` for settings that contradict each other.
  func check() throws {
    guard (curveSecret == nil) == (authorizedKeys == nil) else {
      throw SettingConflict("--curve-secret and --authorized-keys are of use together only")
    }
    try ProcessSettings.check(maximumMemory: server.residentBytes)
    for endpoint in endpoints {
      // A broker binds; libzmq would take a wrong port for another one.
      guard try Endpoint(outside: endpoint, default: .bind).address == endpoint else {
        throw SettingConflict(
          "--bind \(endpoint): a broker binds every endpoint; leave out the mark in front")
      }
      try EndpointPolicy.check(endpoint, isEncrypted: curveSecret != nil, allowsInsecure: allowsInsecure)
    }
  }
}
