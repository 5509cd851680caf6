internal import Synchronization

/// The right to commit. The committer's thread takes it for each transaction, and a lane may take it for one: a job that is alone in the
/// worker then reaches the disk on the thread that ran it, one thread hop sooner (docs/decisions/0405).
final class CommitTurn: Sendable {
  private let committer: Committer
  private let loop: Mutex<Owned>

  /// The loop's parts belong to whoever has the turn; their SQLite connection is used by one thread at a time, which is all that it asks.
  private struct Owned: @unchecked Sendable {
    // Reached through the mutex only: `init` is given the only reference.
    let loop: CommitLoop
  }

  init(_ loop: CommitLoop, committer: Committer) {
    self.committer = committer
    self.loop = Mutex(Owned(loop: loop))
  }

  /// The committer's thread: commits until the committer is closed and everything is done.
  func run() {
    var pause = loop.withLock { $0.loop.begin() }
    while let milliseconds = pause {
      let next = committer.next(until: .now + Milliseconds(milliseconds))
      pause = loop.withLock { $0.loop.take(next) }
    }
  }

  /// Commits `jobs`, which have finished, on this thread, unless there is other work for the committer, or it is busy.
  ///
  /// - Returns: false if nothing was done: then they are to be submitted.
  func commitAtOnce(_ jobs: [Job]) -> Bool {
    loop.withLockIfAvailable { owned in
      guard !committer.hasWork else { return false }
      return owned.loop.commitAtOnce(jobs)
    } ?? false
  }
}
