import Foundation
import Testing

/// A crasher: started, listened to, killed.
final class ChildProcess {
  private let process = Process()
  private let output = Pipe()
  private let input = Pipe()
  private var buffer: [UInt8] = []
  private(set) var lines: [String] = []

  init(_ arguments: [String], failpoint: String? = nil) throws {
    process.executableURL = Self.executable
    process.arguments = arguments
    process.standardOutput = output
    process.standardInput = input
    if let failpoint {
      process.environment = ProcessInfo.processInfo.environment.merging(["NUB_STORE_FAILPOINT": failpoint]) {
        $1
      }
    }
    try process.run()
    // Otherwise the pipe has no end when the child has.
    try output.fileHandleForWriting.close()
  }

  /// The products lie beside the test bundle, or beside the folder of the program that loads it.
  private static var executable: URL {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("NubStoreCrasher")
  }

  /// The next line of its output; nil at the end.
  func nextLine() -> String? {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = String(decoding: buffer[..<end], as: UTF8.self)
        buffer.removeSubrange(...end)
        lines.append(line)
        return line
      }
      let data = output.fileHandleForReading.availableData
      if data.isEmpty { return nil }
      buffer += data
    }
  }

  /// Reads to the end of its output.
  @discardableResult
  func readAll() -> [String] {
    while nextLine() != nil {}
    return lines
  }

  func signal(_ number: Int32) { kill(process.processIdentifier, number) }

  func say(_ line: String) throws {
    try input.fileHandleForWriting.write(contentsOf: Array((line + "\n").utf8))
  }

  func endInput() throws { try input.fileHandleForWriting.close() }

  @discardableResult
  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationStatus
  }

  deinit {
    if process.isRunning {
      signal(SIGKILL)
      process.waitUntilExit()
    }
  }
}
