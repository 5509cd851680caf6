import ArgumentParser
import Foundation
import NubClient

/// What every command that talks to a worker takes.
struct ClientOptions: ParsableArguments {
  @Option(help: "The worker's direct door. Default: NUB_ENDPOINT, else tcp://127.0.0.1:7700.")
  var endpoint: String?

  @Option(help: "Whose caps and jobs these are.")
  var tenant: String?

  @Option(help: "Seconds to wait for a reply.")
  var timeout: Double = 60

  func validate() throws {
    guard timeout > 0, timeout <= 86_400 else {
      throw ValidationError("--timeout is \(timeout); above 0, at most 86400")
    }
  }

  var address: String { endpoint ?? Environment.endpoint ?? Client.defaultEndpoint }

  func connect() throws(ClientError) -> Client {
    try Client(endpoint: address, tenant: tenant, timeout: .seconds(timeout))
  }
}

/// The environment variables that nub reads. An empty one counts as absent.
enum Environment {
  static func value(_ name: String) -> String? {
    guard let value = ProcessInfo.processInfo.environment[name], !value.isEmpty else { return nil }
    return value
  }

  static var endpoint: String? { value("NUB_ENDPOINT") }
  static var store: String? { value("NUB_STORE") }
  static var engine: String? { value("NUB_ENGINE") }
}
