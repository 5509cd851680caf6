import Foundation
import NubStore
import NubStoreSamples
import NubStoreTesting
import Testing

@Suite struct DocumentationTests {
  /// The page, found from this file.
  private static var page: String {
    get throws {
      let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
      return try String(contentsOf: root.appendingPathComponent("docs/store.md"), encoding: .utf8)
    }
  }

  /// The blocks marked as SQL.
  private static var queries: [String] {
    get throws {
      try page.components(separatedBy: "```sql\n").dropFirst().compactMap {
        $0.components(separatedBy: "```").first
      }
    }
  }

  /// Runs the stock program on the file and returns what it prints.
  private func sqlite3(_ path: String, _ sql: String) throws -> (
    status: Int32, output: String, errors: String
  ) {
    let process = Process()
    let output = Pipe()
    let errors = Pipe()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["sqlite3", "-readonly", "-bail", path, sql]
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let complaints = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text, complaints)
  }

  @Test func everyQueryOfThePageRunsInTheStockProgramWhileAWorkerHasTheFile() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    let store = try SQLiteStore(path: path)
    let writer = try store.makeWriter(WorkerIdentity(name: "alpha", host: "h", pid: 1, version: "1"))
    let image = try writer.image(ImageRecord(digest: [1], name: "guest", functions: [(1, "echo")]))
    var parent = Sample.cap("parent")
    parent.references = [Sample.cap("absent").hash]
    try writer.commit { batch in
      batch.caps = [parent]
      batch.journalAdditions = [JournalAddition(id: writer.makeJournalID(), count: 3, jobs: .array([1]))]
      for name in ["order-17", "order-18"] {
        var job = Sample.job(name, status: name == "order-17" ? 3 : 0)
        job.image = image
        batch.finished.append(job)
      }
    }
    let queries = try Self.queries
    #expect(queries.count >= 12)
    for query in queries {
      let answer = try sqlite3(path, query)
      #expect(answer.status == 0, "\(query): \(answer.errors)")
      #expect(!answer.output.isEmpty, "no rows: \(query)")
    }
    let failed = try sqlite3(
      path,
      "SELECT job, status, message, function, worker, state, finished FROM results WHERE status_code <> 0")
    #expect(
      failed.output == "order-17|guest_error|failed: order-17|echo|alpha|failed|2030-01-01T00:00:00.000Z\n")
    let minute = try sqlite3(path, "SELECT minute, jobs, ok, failed FROM throughput_by_minute")
    #expect(minute.output == "2030-01-01T00:00Z|2|1|1\n")
    #expect(try SQLiteQueries(path: path).throughput(minutes: 1).map(\.minute) == ["2030-01-01T00:00Z"])
  }

  @Test func everyColumnOfTheViewsIsOnThePage() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("store.db")
    _ = try SQLiteStore(path: path)
    let page = try Self.page
    for view in ["results", "caps_summary", "throughput_by_minute"] {
      let columns = try sqlite3(path, "SELECT name FROM pragma_table_info('\(view)')").output.split(
        separator: "\n")
      #expect(columns.count > 5)
      for column in columns { #expect(page.contains("`\(column)`"), "\(view).\(column)") }
    }
  }
}
