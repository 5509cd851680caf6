import ArgumentParser
import NubCap
import NubClient

struct PutCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Store files as Data caps.",
    discussion: """
      Prints for each file its hash, `stored` or `known`, and its name. Bytes that the worker already has are not sent.
      """)

  @OptionGroup var client: ClientOptions

  @Argument(help: "Files; - is standard input.", completion: .file())
  var files: [String]

  @Flag(help: "The files are caps in wire form already (see `nub cap encode`).")
  var wire = false

  func run() async throws {
    let connection = try client.connect()
    defer { connection.close() }
    for (index, file) in files.enumerated() {
      if files.count > 1 { Output.progress("\(index)/\(files.count) \(file)") }
      let bytes = try readFile(file, limit: defaultBodyLimit)
      let line: String
      do {
        let outcome = try await client.ask {
          try await wire ? putWire(bytes, to: connection) : connection.put(bytes)
        }
        Output.endProgress()
        line = "\(outcome.hash.hex) \(outcome.wasStored ? "stored" : "known") \(file)"
        if outcome.missingReferences > 0 {
          Output.error(
            "\(file): incomplete, the worker lacks \(outcome.missingReferences) of the caps that it refers to"
          )
        }
      } catch {
        Output.endProgress()
        throw CommandFailure("\(file): \(error)")
      }
      try Output.line(line)
    }
  }

  /// The worker checks the cap; here only its name is needed, to ask whether it is there already.
  private func putWire(_ bytes: [UInt8], to connection: Client) async throws(ClientError)
    -> Client.PutOutcome
  {
    if let view = try? CapView(validating: bytes.span.bytes) {
      let hash = view.hashTreeRoot()
      if try await connection.findMissing([hash]).isEmpty { return .init(hash: hash, wasStored: false) }
    }
    return try await connection.upload(wire: bytes)
  }
}

struct HashCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hash", abstract: "The hash that a file has as a Data cap, computed here.")

  @Argument(help: "Files; - is standard input.", completion: .file())
  var files: [String]

  func run() throws {
    for file in files {
      let bytes = try readFile(file, limit: Int(CapLimits.wireBytes))
      try Output.line("\(Client.hash(of: bytes).hex) \(file)")
    }
  }
}
