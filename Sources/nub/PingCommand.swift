import ArgumentParser
import Foundation
import NubClient

struct PingCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "Ask a worker who it is; prints its answer as JSON.")

  @OptionGroup var client: ClientOptions

  @Option(parsing: .unconditional, help: "Seconds to keep trying until a worker answers.")
  var wait: Double?

  func validate() throws {
    if let wait, !(wait >= 0 && wait <= 86_400) {
      throw ValidationError("--wait is \(wait); 0 to 86400 seconds")
    }
  }

  func run() async throws {
    let connection = try client.connect()
    defer { connection.close() }
    // One request is enough: the socket connects when the worker appears, and the client sends again by itself.
    let info = try await client.ask {
      try await connection.ping(timeout: .seconds(wait ?? min(client.timeout, 5)))
    }
    try Output.line(info.json)
  }
}
