#if DEBUG
  internal import Glibc
#endif

/// Places at which the crash tests kill the process, numbered in the order of a commit. They cost nothing in release builds: the
/// call below is empty there.
package enum Failpoint: Int, CaseIterable, Sendable {
  case locked = 1
  case begun = 2
  case jobInserted = 3
  case jobsInserted = 4
  case capInserted = 5
  case capBodyInserted = 6
  case capsInserted = 7
  case journalAdded = 8
  case journalUpdated = 9
  case journalDeleted = 10
  case countersUpdated = 11
  case cancelsInserted = 12
  case beforeCommit = 13
  case afterCommit = 14
  case unlocked = 15
  case checkpointing = 16
  case checkpointed = 17
  case workerInserted = 18
  case workerLocked = 19
  case takingOver = 20
  case tookOver = 21
  case retentionDeleted = 22

  #if DEBUG
    /// Which one kills, and at which passage: `NUB_STORE_FAILPOINT=4:7` dies the seventh time at number 4. Read once.
    private static let chosen: (point: Int, passage: Int)? = {
      guard let value = getenv("NUB_STORE_FAILPOINT").map({ String(cString: $0) }) else { return nil }
      let parts = value.split(separator: ":").compactMap { Int($0) }
      return parts.count == 2 ? (parts[0], parts[1]) : nil
    }()
    // One store per process is what the crash tests open, on one thread.
    nonisolated(unsafe) private static var passages = 0
  #endif

  /// The store's options as the tests want them: `NUB_STORE_CHECKPOINT=65536` makes the log move as often as that, so that points of
  /// a checkpoint do not depend on how much somebody writes. Debug builds only.
  static func adjusted(_ options: StoreOptions) -> StoreOptions {
    var options = options
    #if DEBUG
      if let bytes = getenv("NUB_STORE_CHECKPOINT").flatMap({ Int64(String(cString: $0)) }), bytes > 0 {
        options.checkpointBytes = bytes
      }
    #endif
    return options
  }

  @inline(__always)
  static func pass(_ point: Failpoint) {
    #if DEBUG
      guard let chosen, chosen.point == point.rawValue else { return }
      passages += 1
      if passages == chosen.passage { kill(getpid(), SIGKILL) }
    #endif
  }
}
