import Foundation

/// A directory for one test, removed afterwards.
final class TestDirectory {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "/nub-worker-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// An endpoint that nobody else uses.
  func ipc(_ name: String) -> String { "ipc://\(path)/\(name)" }
}
