import Logging
import Metrics
import NubConfiguration
import NubHTTP

/// What worker and broker can be told about HTTP.
struct HTTPSettings {
  var address: String?
  var hosts: [String] = []
  var allowsInsecure = false

  static let help =
    "Serve metrics, probes and a page for operators: a port on 127.0.0.1, HOST:PORT, or unix:PATH."
  static let hostHelp = "A name besides addresses and localhost that HTTP requests may use. Repeatable."
  static let insecureHelp = "Allow --http off loopback: whoever reaches it sees every tenant's jobs."

  /// Where to listen; nil for nowhere.
  /// - Throws: ``SettingConflict`` for what cannot be, or reaches farther than was allowed.
  func check() throws -> HTTPAddress? {
    guard let address else { return nil }
    do {
      let parsed = try HTTPAddress(parsing: address)
      try parsed.check(allowsInsecure: allowsInsecure)
      return parsed
    } catch {
      throw SettingConflict(error.message)
    }
  }

  /// The backend of this process's metrics: before anything is made that counts. Without `--http` nothing is counted.
  func bootstrap() -> MetricsRegistry {
    let registry = MetricsRegistry()
    MetricsSystem.bootstrap(registry)
    return registry
  }

  func server(_ content: any HTTPContent, at address: HTTPAddress, logger: Logger) -> HTTPServer {
    var options = HTTPServer.Options()
    options.hostNames = hosts
    return HTTPServer(address, options: options, content: content, logger: logger)
  }
}
