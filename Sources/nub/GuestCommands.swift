import ArgumentParser
import Foundation
import NubGuestBuild
import NubGuestTools
import NubMachine

/// `nub guest`: everything that an author of guest functions needs.
struct GuestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "guest", abstract: "Build and look at guest images.",
    subcommands: [GuestBuildCommand.self, GuestInspectCommand.self, GuestListCommand.self])
}

struct GuestBuildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "build", abstract: "Build a folder of Swift or C sources into a guest image.",
    discussion: """
      Needs a Swift toolchain (6.2 or newer) on the PATH and nothing else: the guest kit comes with this program. \
      Functions are found by their symbols, NUB_FUNCTION(300, name) in C or @c(nub_fn_300_name) in Swift.
      """)

  @Argument(help: "The folder with the sources.", completion: .directory) var directory: String
  @Option(name: .shortAndLong, help: "The image's file.", completion: .file()) var output: String
  @Flag(name: [.customShort("g"), .long], help: "Put debug information for gdb into the image.")
  var debugInfo = false

  func run() throws {
    let built: GuestKit.Built
    do throws(GuestBuildError) {
      built = try GuestKit.build(
        directory: URL(filePath: directory), output: URL(filePath: output), debugInfo: debugInfo)
    } catch {
      try fail("\(error)")
    }
    if !built.diagnostics.isEmpty { FileHandle.standardError.write(Data(built.diagnostics.utf8)) }
    let names = built.image.functions.filter { $0.id >= 256 }.map { "\($0.id) \($0.name)" }
    print("\(output): \(GuestImageReport(built.image).fileSize) bytes, \(names.joined(separator: ", "))")
  }
}

/// Where an image comes from: a file, or this program.
struct GuestImageOption: ParsableArguments {
  @Argument(help: "The image's file; nub's own image when it is left out.", completion: .file()) var file:
    String?
  @Flag(name: .long, help: "Print JSON.") var json = false

  func load() throws -> GuestImage {
    do throws(MachineError) {
      guard let file else { return try GuestImage.builtIn() }
      return try GuestImage(contentsOf: file)
    } catch {
      try fail("\(file ?? "built-in image"): \(error.message)")
    }
  }
}

struct GuestInspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Show an image's functions, segments, sections and sizes.")

  @OptionGroup var image: GuestImageOption

  func run() throws {
    let report = GuestImageReport(try image.load())
    print(image.json ? try json(report) : report.text)
  }
}

struct GuestListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List an image's functions by id and name.")

  @OptionGroup var image: GuestImageOption
  @Flag(name: .shortAndLong, help: "Show nub's own functions (0 to 255) as well.") var all = false

  func run() throws {
    let functions = GuestImageReport(try image.load()).functions.filter { all || !$0.isReserved }
    if image.json {
      print(try json(functions))
    } else {
      for function in functions { print("\(function.id)\t\(function.name)") }
    }
  }
}

private func json(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}

/// Ends the command with a message for a person and status 1.
private func fail(_ message: String) throws -> Never {
  FileHandle.standardError.write(Data("error: \(message)\n".utf8))
  throw ExitCode.failure
}
