import ArgumentParser
import Foundation
import NubCap
import NubCapJSON

struct CapCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cap", abstract: "Make caps from JSON descriptions, and read them back.",
    subcommands: [Encode.self, Decode.self, HashOf.self])

  struct Encode: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "encode", abstract: "A JSON description to the wire form, on standard output.")

    @Argument(help: "The description; - is standard input.", completion: .file())
    var file: String

    func run() throws {
      let cap = try CapCommand.cap(describedIn: file)
      try Output.write(try cap.encoded())
    }
  }

  struct Decode: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "decode", abstract: "A wire form to its JSON description, on standard output.")

    @Argument(help: "The wire form; - is standard input.", completion: .file())
    var file: String

    func run() throws {
      let bytes = try readFile(file, limit: 1 << 30)
      let cap = try Cap(decoding: bytes.span.bytes)
      try Output.line(try CapJSON.json(for: cap))
    }
  }

  struct HashOf: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "hash",
      abstract: "The hash of a cap, from its JSON description or, with --wire, its wire form.")

    @Argument(help: "The file; - is standard input.", completion: .file())
    var file: String

    @Flag(help: "The file is a wire form.")
    var wire = false

    func run() throws {
      if wire {
        let bytes = try readFile(file, limit: 1 << 30)
        let view = try CapView(validating: bytes.span.bytes)
        try Output.line(view.hashTreeRoot().hex)
      } else {
        try Output.line(try CapCommand.cap(describedIn: file).hashTreeRoot().hex)
      }
    }
  }

  /// Paths in a description are relative to its own folder.
  private static func cap(describedIn file: String) throws -> Cap {
    let folder = file == "-" ? "." : URL(filePath: file).deletingLastPathComponent().path
    return try CapJSON.cap(from: Data(try readFile(file, limit: 64 << 20))) { path in
      try readFile(path.hasPrefix("/") ? path : "\(folder)/\(path)", limit: 1 << 30)
    }
  }
}
