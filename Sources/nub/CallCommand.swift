import ArgumentParser
import NubCap
import NubClient

struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call", abstract: "Run a guest function and print its result.",
    discussion: """
      The result goes to standard output. With a status other than 0 the message goes to standard error, and the exit
      status is 1.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case raw, hex, u64
  }

  @OptionGroup var client: ClientOptions

  @Argument(help: "The function, by number or by name.")
  var function: String

  @Option(help: "The payload as text.")
  var data: String?

  @Option(help: "The payload in hexadecimal digits.")
  var hex: String?

  @Option(help: "The payload from a file; - is standard input.", completion: .file())
  var file: String?

  @Option(help: "Send this file along as a Data cap. Repeatable.", completion: .file())
  var cap: [String] = []

  @Option(
    help: "The job's id; the same id with the same content is answered from the store. Default: a new one.")
  var id: String?

  @Option(parsing: .unconditional, help: "Milliseconds that the function may run.")
  var deadline: Int?

  @Option(parsing: .unconditional, help: "0 (first to wait) to 9 (first to run).")
  var priority: Int?

  @Flag(help: "Run in a sandbox in its first state.")
  var fresh = false

  @Option(help: "How to print the result: \(Format.allCases.map(\.rawValue).joined(separator: ", ")).")
  var format = Format.raw

  @Option(
    help: "Append the reply's meta, one JSON object a line, to this file; - is standard error.",
    completion: .file())
  var meta: String?

  func validate() throws {
    guard [data, hex, file].compactMap({ $0 }).count <= 1 else {
      throw ValidationError("--data, --hex and --file exclude each other")
    }
    if let hex, Hex.decode(hex) == nil { throw ValidationError("--hex is not pairs of hexadecimal digits") }
    if let id, JobID(Array(id.utf8)) == nil {
      throw ValidationError("--id has \(id.utf8.count) bytes; 1 to 64")
    }
    if let deadline, !(1...86_400_000).contains(deadline) {
      throw ValidationError("--deadline is \(deadline); 1 to 86400000")
    }
    if let priority, !(0...9).contains(priority) {
      throw ValidationError("--priority is \(priority); 0 to 9")
    }
  }

  func run() async throws {
    // What is wrong on this side is known before anybody is asked.
    let payload = try payload()
    let caps = try cap.map { try Client.dataCap(try readFile($0, limit: defaultBodyLimit)) }
    let connection = try client.connect()
    defer { connection.close() }
    do {
      let number = try await client.ask { try await functionNumber(connection) }
      let options = CallOptions(
        deadline: deadline.map { .milliseconds($0) }, priority: priority, fresh: fresh ? true : nil)
      let request = CallRequest(
        function: number, payload: payload, id: id.flatMap { JobID(Array($0.utf8)) } ?? JobID(),
        caps: caps, options: options)
      let result = try await client.ask { try await connection.call(request) }
      try report(result.meta)
      try print(result.body)
    } catch let error as ClientError {
      if let meta = error.meta { try report(meta) }
      Output.error(error.message)
      for hash in error.missing { Output.error("missing: \(hash.hex)") }
      throw ExitCode(1)
    }
  }

  private func functionNumber(_ connection: Client) async throws -> UInt32 {
    if let number = UInt32(function) { return number }
    let info = try await connection.ping()
    if let number = info.function(named: function) { return number }
    throw CommandFailure(
      "the worker's guest has no function \(function); it has \(info.functions.map(\.name).joined(separator: ", "))"
    )
  }

  private func payload() throws -> [UInt8] {
    if let data { return Array(data.utf8) }
    if let hex { return Hex.decode(hex) ?? [] }
    if let file { return try readFile(file, limit: defaultBodyLimit) }
    return []
  }

  private func report(_ meta: ReplyMeta) throws {
    guard let path = self.meta else { return }
    let line = try jsonLine(meta)
    if path == "-" {
      Output.error(line)
    } else {
      try appendLine(line, to: path)
    }
  }

  private func print(_ body: [UInt8]) throws {
    switch format {
    case .raw:
      try Output.write(body)
      // On a terminal the prompt should not stick to the result; elsewhere the result is exactly its bytes.
      if Output.isTerminal, body.last != UInt8(ascii: "\n") { try Output.line("") }
    case .hex: try Output.line(Hex.encode(body))
    case .u64:
      guard body.count % 8 == 0 else {
        throw CommandFailure("the result has \(body.count) bytes, not a multiple of 8")
      }
      for start in stride(from: 0, to: body.count, by: 8) {
        let number = body[start..<(start + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        try Output.line(String(number))
      }
    }
  }
}
