internal import Foundation
internal import NubWorker

/// The core files that an operator has asked for; lanes write them, and whoever asked waits.
final class GuestDumps: Sendable {
  /// The largest file is 256 MiB, and a slow disk writes that in this time.
  static let patience: TimeInterval = 20

  private let files = Collected()
  private let asked: Int

  init(of worker: Worker) throws(WorkerError) {
    asked = try worker.dumpRunningGuests { [files] _, result in files.add(result) }
  }

  /// Until all are there, the time is over, or `isOver` says so.
  func wait(until isOver: () -> Bool) {
    let end = Date(timeIntervalSinceNow: Self.patience)
    while files.count < asked, Date() < end, !isOver() { files.wait(seconds: 0.1) }
  }

  func report(in reply: inout ControlReply) {
    let results = files.results
    let paths = results.compactMap { try? $0.get() }.sorted()
    reply.dumps = paths
    let failures = results.compactMap { result -> String? in
      guard case .failure(let error) = result else { return nil }
      return error.description
    }
    if asked == 0 {
      reply.note = "no guest runs at this moment"
    } else if let failure = failures.first {
      reply.error = "\(failures.count) of \(asked) guests were not written down: \(failure)"
    } else if results.count < asked {
      reply.error = "\(asked - results.count) of \(asked) guests are still being written down"
    } else {
      reply.note = "wrote \(paths.joined(separator: ", "))"
    }
  }

  private final class Collected: @unchecked Sendable {
    // Sendable: `all` is touched under `condition` only. Not a Mutex, because somebody waits for it to change.
    private var all: [Result<String, WorkerError>] = []
    private let condition = NSCondition()

    var results: [Result<String, WorkerError>] { condition.withLock { all } }
    var count: Int { condition.withLock { all.count } }

    func add(_ result: Result<String, WorkerError>) {
      condition.withLock {
        all.append(result)
        condition.broadcast()
      }
    }

    /// Until something comes, or the time is over.
    func wait(seconds: TimeInterval) {
      condition.withLock { _ = condition.wait(until: Date(timeIntervalSinceNow: seconds)) }
    }
  }
}
