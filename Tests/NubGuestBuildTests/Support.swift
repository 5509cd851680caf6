import Foundation
import NubGuestBuild
import NubGuestTools
import NubMachine

/// Images that several tests use, each built once.
enum Built {
  static let wordFrequency = example("word-frequency")
  static let base64 = example("base64")

  private static func example(_ name: String) -> Result<GuestImage, any Error> {
    Result { try build(directory: examples.appending(path: name)).image }
  }

  static var examples: URL {
    URL(filePath: #filePath).appending(path: "../../../Examples").standardizedFileURL
  }

  /// One cache for all tests of a run, so that the kit is compiled once.
  static let cache = FileManager.default.temporaryDirectory.appending(path: "nub-tests-guest-cache")

  static func build(directory: URL, debugInfo: Bool = false) throws -> GuestKit.Built {
    let output = FileManager.default.temporaryDirectory.appending(path: "nub-test-\(UUID().uuidString).elf")
    defer { try? FileManager.default.removeItem(at: output) }
    return try GuestKit.build(directory: directory, output: output, cache: cache, debugInfo: debugInfo)
  }

  /// Builds sources given as text.
  static func build(_ files: [String: String]) throws -> GuestKit.Built {
    let folder = FileManager.default.temporaryDirectory.appending(path: "nub-test-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    for (name, text) in files {
      let file = folder.appending(path: name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try text.write(to: file, atomically: false, encoding: .utf8)
    }
    return try build(directory: folder)
  }

  static func error(_ files: [String: String]) -> GuestBuildError? {
    do {
      _ = try build(files)
      return nil
    } catch {
      return error as? GuestBuildError
    }
  }
}
