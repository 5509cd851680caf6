internal import NubWorker
internal import Synchronization

/// The core files that an operator has asked for; lanes write them, and whoever asked waits.
final class GuestDumps: Sendable {
  /// Seconds. The largest file is 256 MiB, and a slow disk writes that in this time.
  static let patience = 20

  private let files = Collected()
  private let asked: Int
  private let end = ContinuousClock.now + .seconds(GuestDumps.patience)

  init(of worker: Worker) throws(WorkerError) {
    asked = try worker.dumpRunningGuests { [files] _, result in files.add(result) }
  }

  /// Whether all are there, or the time is over.
  var isOver: Bool { files.count >= asked || ContinuousClock.now >= end }

  func reply(_ status: ControlStatus) -> ControlReply {
    var reply = ControlReply(status: status)
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
    return reply
  }

  private final class Collected: Sendable {
    private let all = Mutex<[Result<String, WorkerError>]>([])

    var results: [Result<String, WorkerError>] { all.withLock { $0 } }
    var count: Int { all.withLock { $0.count } }

    func add(_ result: Result<String, WorkerError>) { all.withLock { $0.append(result) } }
  }
}
