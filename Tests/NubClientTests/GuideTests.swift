import Foundation
import Testing

@testable import NubClient

/// The Swift of docs/producers.md, compiled and run as it stands there.
@Suite(
  "The guide's example against a real worker",
  .enabled(if: ProcessInfo.processInfo.environment["NUB_BIN"] != nil, "NUB_BIN does not name a built nub"))
struct GuideTests {
  @Test("It does what the page says", .timeLimit(.minutes(2)))
  func runs() async throws {
    let worker = try WorkerProcess(binary: #require(ConformanceTests.binary), engine: ConformanceTests.engine)
    defer { worker.kill() }
    let endpoint = worker.endpoint
    try await example(endpoint)
  }

  private func example(_ endpoint: String) async throws {
    // guide
    let client = try Client(endpoint: endpoint, tenant: "acme", timeout: .seconds(30))
    defer { client.close() }
    let info = try await client.ping()
    guard let sha256 = info.function(named: "sha256") else { return }

    // A call, and the same again.
    let id = JobID()
    let options = CallOptions(deadline: .seconds(5), priority: 7)
    let first = try await client.call(
      function: sha256, payload: Array("hello".utf8), id: id, options: options)
    let again = try await client.call(function: sha256, payload: Array("hello".utf8), id: id)
    assert(again.body == first.body && again.isDuplicate)

    // Bytes by their hash, and what is missing.
    let document = try await client.put(Array("a long document".utf8))
    let other = Client.hash(of: Array("not there yet".utf8))
    let missing = try await client.findMissing([document.hash, other])
    assert(missing == [other])

    // Many at once, each with its own outcome.
    let requests = (0..<100).map { CallRequest(function: 1, payload: Array("\($0)".utf8)) }
    for outcome in await client.callMany(requests) { _ = try outcome.get() }
    // end of guide
  }

  @Test("The page shows what is run here")
  func isTheSame() throws {
    let file = URL(fileURLWithPath: #filePath)
    let root = file.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    let page = try String(contentsOf: root.appendingPathComponent("docs/producers.md"), encoding: .utf8)
    let shown = try #require(page.components(separatedBy: "```swift\n").dropFirst().first)
      .components(separatedBy: "```")[0]
    let source = try String(contentsOf: file, encoding: .utf8)
    let run = try #require(source.components(separatedBy: "    // guide\n").dropFirst().first)
      .components(separatedBy: "    // end of guide")[0]
    let lines = run.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("    ") ? String($0.dropFirst(4)) : String($0) }
    #expect(lines.joined(separator: "\n") == shown)
  }
}
