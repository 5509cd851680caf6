import Foundation
import NubELF
import NubMachine
import Testing

/// A folder of a test's own.
struct TemporaryFolder: ~Copyable {
  let url: URL
  var path: String { url.path }

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "nub-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

  /// nub's own image as a file, for debuggers.
  func image() throws -> String {
    let file = url.appending(path: "image.elf")
    try Data(try GuestImage.builtIn().elf.bytes).write(to: file)
    return file.path
  }
}

/// The real gdb in batch mode.
enum GDB {
  static let path: String? = ["/usr/bin/gdb", "/usr/local/bin/gdb"].first {
    FileManager.default.isExecutableFile(atPath: $0)
  }

  static var isThere: Bool {
    if path == nil { print("SKIPPED: gdb is not installed (apt-get install gdb)") }
    return path != nil
  }

  /// Runs commands and returns what gdb wrote, errors included.
  /// - Parameter started: called with gdb's process id.
  static func run(
    _ arguments: [String], _ commands: [String], started: (Int32) -> Void = { _ in }
  ) throws -> String {
    let process = Process()
    // A test that was started in the background ignores Ctrl-C, and so would its children.
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments =
      ["--default-signal=INT", try #require(path), "-nx", "-batch"] + commands.flatMap { ["-ex", $0] }
      + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    started(process.processIdentifier)
    let data = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }
}
