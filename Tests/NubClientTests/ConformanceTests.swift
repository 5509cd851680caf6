import Foundation
import Glibc
import NubCap
import Testing

@testable import NubClient

/// `Tests/EndToEnd/conformance.json`, which every client passes against a real worker.
///
/// Runs when `NUB_BIN` names a built `nub`; `NUB_ENGINE` chooses its engine.
@Suite(
  "Conformance against a real worker",
  .enabled(if: ProcessInfo.processInfo.environment["NUB_BIN"] != nil, "NUB_BIN does not name a built nub"))
struct ConformanceTests {
  static let binary = ProcessInfo.processInfo.environment["NUB_BIN"]
  static let engine = ProcessInfo.processInfo.environment["NUB_ENGINE"] ?? "kvm"

  struct Case: CustomTestStringConvertible {
    let name: String
    let only: String?
    let steps: [ConformanceStep]
    var testDescription: String { name }
  }

  static let cases: [Case] = {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("EndToEnd/conformance.json")
    guard let data = try? Data(contentsOf: file),
      let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any],
      let cases = root["cases"] as? [[String: Any]]
    else { return [] }
    return cases.map { json in
      let steps = (json["steps"] as? [[String: Any]] ?? []).map(ConformanceStep.init)
      return Case(name: json["name"] as? String ?? "", only: json["only"] as? String, steps: steps)
    }
  }()

  @Test("The list of cases is there")
  func list() {
    #expect(Self.cases.count >= 18)
  }

  @Test("Every case", .timeLimit(.minutes(5)))
  func everyCase() async throws {
    let worker = try WorkerProcess(binary: #require(Self.binary), engine: Self.engine)
    defer { worker.kill() }
    let client = try Client(endpoint: worker.endpoint, retry: RetryPolicy(first: .milliseconds(500)))
    _ = try await client.ping(timeout: .seconds(60))
    for each in Self.cases where each.only == nil || each.only == Self.engine {
      var runner = ConformanceRunner(client: client, engine: Self.engine, name: each.name)
      for step in each.steps { try await runner.run(step) }
    }
  }
}

/// A `nub worker` of a test's own, killed at the end.
final class WorkerProcess {
  let endpoint: String
  private let process = Process()
  private let directory: URL

  init(binary: String, engine: String) throws {
    // An ipc endpoint's path must fit into 107 bytes (unix(7)).
    directory = URL(fileURLWithPath: "/tmp/nub-conformance-\(UInt32.random(in: 0...UInt32.max))")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    endpoint = "ipc://\(directory.path)/serve"
    process.executableURL = URL(fileURLWithPath: binary)
    process.arguments = [
      "worker", "--serve", endpoint, "--store", "\(directory.path)/nub.sqlite", "--lanes", "2", "--engine",
      engine,
    ]
    try process.run()
  }

  func kill() {
    // Not SIGTERM: a child inherits the signal mask of the thread that made it (fork(2)), and may never see it.
    Glibc.kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    try? FileManager.default.removeItem(at: directory)
  }
}
