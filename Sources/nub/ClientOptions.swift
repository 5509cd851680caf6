import ArgumentParser
import Foundation
import NubClient
import NubSecurity
import NubWorker
import NubZMQ

/// What every command that talks to a worker takes.
struct ClientOptions: ParsableArguments {
  @Option(help: "The worker's direct door. Default: NUB_ENDPOINT, else tcp://127.0.0.1:7700.")
  var endpoint: String?

  @Option(
    help: "This producer's secret key (nub keygen), where the door asks for keys. Default: NUB_CURVE_SECRET.",
    completion: .file())
  var curveSecret: String?

  @Option(
    help: ArgumentHelp(
      "The worker's public key, printed or as the path of its .pub file. Default: NUB_CURVE_SERVER.",
      valueName: "key or file"), completion: .file())
  var curveServer: String?

  @Option(help: "Whose caps and jobs these are.")
  var tenant: String?

  @Option(parsing: .unconditional, help: "Seconds to wait for a reply.")
  var timeout: Double = 60

  func validate() throws {
    guard timeout > 0, timeout <= 86_400 else {
      throw ValidationError("--timeout is \(timeout); above 0, at most 86400")
    }
  }

  var address: String { endpoint ?? Environment.endpoint ?? Client.defaultEndpoint }

  func connect() throws -> Client {
    do {
      return try Client(
        endpoint: try Endpoint(outside: address, default: .connect).address, curve: try curve(),
        tenant: tenant, timeout: .seconds(timeout))
    } catch let error as SecurityError {
      throw CommandFailure(error.message)
    } catch let error as WorkerError {
      throw ValidationError(error.message)
    } catch let error as SettingConflict {
      throw ValidationError(error.description)
    } catch let error as ClientError {
      throw CommandFailure("\(error)")
    }
  }

  private func curve() throws -> Client.Curve? {
    let secret = curveSecret ?? Environment.value("NUB_CURVE_SECRET")
    let server = curveServer ?? Environment.value("NUB_CURVE_SERVER")
    guard secret != nil || server != nil else { return nil }
    guard let secret, let server else {
      throw ValidationError(
        secret == nil
          ? "--curve-server needs --curve-secret, this producer's own key (nub keygen)"
          : "--curve-secret needs --curve-server, the public key of the worker")
    }
    let keys = try KeyFile.readSecret(secret)
    return Client.Curve(
      serverKey: try KeyFile.readPublic(server), publicKey: keys.publicKey, secretKey: keys.secretKey)
  }

  /// Asks, says on standard error what is waited for when it takes long, and after it was in vain what may be wrong.
  func ask<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    let address = address
    let notice = Task {
      try await Task.sleep(for: .seconds(2))
      Output.error("waiting for a worker at \(address)")
    }
    defer { notice.cancel() }
    do {
      return try await body()
    } catch let error as ClientError where error.code == .timedOut {
      throw CommandFailure("\(error.message)\n\(advice)")
    }
  }

  /// A door that does not admit a key looks like one that is not there, and so does one that speaks another protocol.
  private var advice: String {
    let asksForKeys =
      (try? curve()).flatMap { $0 } == nil
      ? "if that door asks for keys, --curve-secret and --curve-server are needed"
      : "or that door does not admit this key, or has another one itself"
    return "is a worker there (nub worker --serve \(address))? \(asksForKeys); "
      + "a broker (nub broker) does not answer this command, its workers' direct doors do"
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
