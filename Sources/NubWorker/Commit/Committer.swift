/// The way to the store's one writer: everything that changes the store is handed in here, and the committer's thread takes what has
/// gathered since its last commit and makes one transaction of it. Alone, a job is committed at once; under load many share the
/// cost of one fsync.
final class Committer: Sendable {
  /// What waits for the next commit.
  struct Work {
    /// Ended: to be recorded, then answered.
    var finished: [Job] = []
    /// Pulled by pipeline doors: to be journaled, then run. One journal row for each inner array.
    var arrived: [[Job]] = []
    /// Suspected of having killed a worker: to be noted in the journal as run alone, then run.
    var suspects: [Job] = []
    /// Uses of caps that the store has.
    var uses: [NotedUse] = []
    /// For other workers on the same store to see.
    var cancels: [FiledCancel] = []

    var isEmpty: Bool { !isUrgent && uses.isEmpty }
    /// Whether someone waits for it.
    var isUrgent: Bool { !(finished.isEmpty && arrived.isEmpty && suspects.isEmpty && cancels.isEmpty) }
  }

  private struct Inbox {
    var work = Work()
    var isClosed = false
  }

  private let inbox = Monitor(Inbox())

  /// Bytes of results that wait, for lanes that have more.
  private struct Backlog {
    var bytes = 0
    var isClosed = false
  }

  private let backlog = Monitor(Backlog())

  /// What lanes may leave here before they wait for the commit that takes it: they make results faster than a disk writes them.
  static let maximumBacklog = 64 << 20

  /// Jobs that a lane has run; it waits while much is waiting already.
  func submit(results jobs: [Job], bytes: Int) {
    _ = backlog.wait { backlog -> Void? in
      guard backlog.bytes < Self.maximumBacklog || backlog.isClosed else { return nil }
      backlog.bytes += bytes
      return ()
    }
    submit(finished: jobs)
  }

  /// Jobs that ended.
  func submit(finished jobs: [Job]) {
    inbox.withLock { $0.work.finished.append(contentsOf: jobs) }
    inbox.signal()
  }

  /// Jobs that a pipeline door pulled.
  func submit(arrived jobs: [Job]) {
    inbox.withLock { $0.work.arrived.append(jobs) }
    inbox.signal()
  }

  /// A job that is to be run alone because a worker died while it ran.
  func submit(suspect job: Job) {
    inbox.withLock { $0.work.suspects.append(job) }
    inbox.signal()
  }

  /// Somebody wants a job ended that this worker does not have.
  func submit(cancel: FiledCancel) {
    inbox.withLock { $0.work.cancels.append(cancel) }
    inbox.signal()
  }

  /// Caps that somebody had use for; only counted, so nobody is woken.
  func note(uses: [NotedUse]) {
    inbox.withLock { $0.work.uses.append(contentsOf: uses) }
  }

  /// Lets the committer end once everything submitted so far is done.
  func close() {
    inbox.withLock { $0.isClosed = true }
    inbox.broadcast()
    backlog.withLock { $0.isClosed = true }
    backlog.broadcast()
  }

  /// What the committer's thread is to do next.
  enum Next {
    case work(Work)
    /// Nothing came until the deadline.
    case idle
    case closed
  }

  /// Takes everything that waits; waits for something until `deadline`.
  func next(until deadline: Monotonic) -> Next {
    let next = take(until: deadline)
    if case .work(let work) = next, !work.finished.isEmpty {
      // What a lane adds between the two counts for the next commit: a lane waits a little less, or more.
      backlog.withLock { $0.bytes = 0 }
      backlog.broadcast()
    }
    return next
  }

  private func take(until deadline: Monotonic) -> Next {
    let next = inbox.wait(until: deadline) { inbox -> Next? in
      if inbox.work.isUrgent || (inbox.isClosed && !inbox.work.isEmpty) {
        let work = inbox.work
        inbox.work = Work()
        return .work(work)
      }
      return inbox.isClosed ? .closed : nil
    }
    return next ?? .idle
  }

  /// Takes what nobody waits for.
  func takeNotes() -> [NotedUse] {
    inbox.withLock { inbox in
      let notes = inbox.work.uses
      inbox.work.uses = []
      return notes
    }
  }

  /// Whether somebody waits for a commit that has not begun.
  var hasWork: Bool { inbox.withLock { $0.work.isUrgent } }

  var isClosed: Bool { inbox.withLock { $0.isClosed } }
}

/// A cancel for whichever worker has the job.
struct FiledCancel: Hashable, Sendable {
  var tenant: ShortBytes
  var id: ShortBytes
}
