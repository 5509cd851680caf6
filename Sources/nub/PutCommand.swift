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
        let (hash, wasStored) = try await client.ask {
          try await wire ? putWire(bytes, to: connection) : putData(bytes, to: connection)
        }
        Output.endProgress()
        line = "\(hash.hex) \(wasStored ? "stored" : "known") \(file)"
      } catch {
        Output.endProgress()
        throw CommandFailure("\(file): \(error)")
      }
      try Output.line(line)
    }
  }

  private func putData(_ bytes: [UInt8], to connection: Client) async throws(ClientError) -> (CapHash, Bool) {
    let outcome = try await connection.put(bytes)
    return (outcome.hash, outcome.wasStored)
  }

  /// The worker checks the cap; here only its name is needed, to ask whether it is there already.
  private func putWire(_ bytes: [UInt8], to connection: Client) async throws(ClientError) -> (CapHash, Bool) {
    if let view = try? CapView(validating: bytes.span.bytes) {
      let hash = view.hashTreeRoot()
      if try await connection.findMissing([hash]).isEmpty { return (hash, false) }
    }
    return (try await connection.put(wire: bytes), true)
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
