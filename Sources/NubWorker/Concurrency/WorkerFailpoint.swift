#if DEBUG
  internal import Glibc
  internal import Synchronization
#endif

/// Places on a job's way at which tests kill the process, or hold one of its threads; the store has its own. They cost nothing in
/// release builds: the call below is empty there.
enum WorkerFailpoint: Int {
  /// Taken in, nowhere written.
  case accepted = 1
  /// A lane has a batch and has not run it.
  case taken = 2
  /// Run, and not handed to the committer.
  case ran = 3
  /// The committer has it, no transaction is open.
  case committing = 4
  /// On disk; nobody has been told.
  case committed = 5
  /// Journaled, not queued.
  case journaled = 6
  /// On its way to the socket.
  case delivering = 7
  /// The journal of a dead worker is ours; nothing of it is queued.
  case adopting = 8
  /// A solo run is noted and has not begun.
  case suspectNoted = 9
  /// The reply is ZeroMQ's.
  case replied = 10

  #if DEBUG
    private struct Choice {
      var point: Int
      var passage: Int
      /// Hold the thread for as long as this file exists, instead of killing the process.
      var file: String?
    }

    /// Which one it is, and at which passage: `NUB_WORKER_FAILPOINT=5:3` dies the third time at number 5, `5:3:FILE` stands still there.
    /// Read once.
    private static let chosen: Choice? = {
      guard let value = getenv("NUB_WORKER_FAILPOINT").map({ String(cString: $0) }) else { return nil }
      let parts = value.split(separator: ":", maxSplits: 2)
      let numbers = parts.prefix(2).compactMap { Int($0) }
      guard numbers.count == 2 else { return nil }
      return Choice(
        point: numbers[0], passage: numbers[1], file: parts.count > 2 ? String(parts[2]) : nil)
    }()
    private static let passages = Atomic<Int>(0)
  #endif

  /// Any thread.
  @inline(__always)
  static func pass(_ point: WorkerFailpoint) {
    #if DEBUG
      guard let chosen, chosen.point == point.rawValue else { return }
      guard passages.wrappingAdd(1, ordering: .relaxed).newValue == chosen.passage else { return }
      guard let file = chosen.file else {
        kill(getpid(), SIGKILL)
        return
      }
      while access(file, F_OK) == 0 { usleep(10_000) }
    #endif
  }
}
