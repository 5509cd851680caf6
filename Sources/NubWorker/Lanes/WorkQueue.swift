internal import NubCap

/// The scheduler between the threads: doors and committer put jobs in, lanes take batches out and sleep while there are none.
final class WorkQueue: Sendable {
  private struct State {
    var scheduler: Scheduler<Job>
    var idleLanes = 0
    var isClosed = false
    /// Whether all lanes were woken since jobs were last put in or taken out: those that then sleep on have nothing to do.
    var isTold = false
  }

  private let state: Monitor<State>

  init(policy: SchedulerPolicy = SchedulerPolicy()) {
    state = Monitor(State(scheduler: Scheduler(policy: policy)))
  }

  /// Puts jobs in and wakes a lane if one sleeps; that one wakes the next if it leaves something behind.
  func enqueue(_ jobs: [Job]) {
    guard !jobs.isEmpty else { return }
    let wake = state.withLock { state in
      state.isTold = false
      for job in jobs { state.scheduler.enqueue(job, job.ticket) }
      return state.idleLanes > 0
    }
    if wake { state.signal() }
  }

  /// Takes back what a lane could not run. `isAlone`: each of them by itself from now on.
  func giveBack(_ jobs: [Job]) {
    guard !jobs.isEmpty else { return }
    let wake = state.withLock { state in
      state.isTold = false
      // The first one ends up in front again.
      for job in jobs.reversed() { state.scheduler.giveBack(job, job.ticket) }
      return state.idleLanes > 0
    }
    if wake { state.signal() }
  }

  /// The next batch; waits for one. nil: the queue is closed.
  func take(for seat: CapHomes.Seat) -> Scheduler<Job>.Batch? {
    var isCounted = false
    var leavesWork = false
    let batch: Scheduler<Job>.Batch?? = state.wait { state -> Scheduler<Job>.Batch?? in
      if state.isClosed {
        if isCounted { state.idleLanes -= 1 }
        return .some(nil)
      }
      let now = Monotonic.now.microseconds
      let idle = state.idleLanes + (isCounted ? 0 : 1)
      if let batch = state.scheduler.next(at: now, for: seat, idleLanes: idle) {
        if isCounted { state.idleLanes -= 1 }
        state.isTold = false
        leavesWork = !state.scheduler.isEmpty && state.idleLanes > 0
        return .some(batch)
      }
      if !isCounted {
        state.idleLanes += 1
        isCounted = true
      }
      if !state.scheduler.isEmpty, !state.isTold {
        // It waits for another lane, whose sandbox holds its cap and which sleeps: one signal may have woken the wrong one.
        state.isTold = true
        self.state.broadcast()
      }
      return nil
    }
    if leavesWork { state.signal() }
    return batch ?? nil
  }

  /// Tells the scheduler how long a batch really ran, how much of that it took to prepare the sandbox, and where it ran.
  func finished(
    _ batch: Scheduler<Job>.Batch, jobs: Int, took microseconds: UInt64, preparing: UInt64,
    in seat: CapHomes.Seat
  ) {
    state.withLock { state in
      if batch.namesCaps, !batch.isAlone { state.scheduler.served(batch, by: seat) }
      state.scheduler.finished(
        batch.tenant, charged: batch.charged, jobs: jobs, took: microseconds, preparing: preparing)
    }
  }

  /// Takes a waiting job out.
  ///
  /// - Returns: false if it is not waiting (any more).
  func remove(_ job: Job) -> Bool {
    state.withLock { !$0.scheduler.remove { candidate, _ in candidate === job }.isEmpty }
  }

  /// Takes out all jobs that have expired.
  func removeExpired() -> [Job] {
    state.withLock { $0.scheduler.removeExpired(at: Monotonic.now.microseconds) }
  }

  /// Takes out everything that waits.
  func removeAll() -> [Job] {
    state.withLock { $0.scheduler.remove { _, _ in true } }
  }

  /// Jobs that wait, by priority.
  var levels: [QueueLevel] {
    state.withLock { $0.scheduler.levels(at: Monotonic.now.microseconds) }
  }

  /// Whether nothing waits.
  var isEmpty: Bool { state.withLock { $0.scheduler.isEmpty } }

  /// Lanes that have no work.
  func idleLanes() -> Int { state.withLock { $0.idleLanes } }

  /// Ends every ``take(for:)``, now and later.
  func close() {
    state.withLock { $0.isClosed = true }
    state.broadcast()
  }
}

extension Job {
  /// What the scheduler needs to know of it.
  var ticket: Scheduler<Job>.Ticket {
    Scheduler<Job>.Ticket(
      tenant: key.tenant, priority: options.priority, isAlone: mustRunAlone, expires: expires,
      byteCount: byteCount, caps: mustRunAlone ? .none : namedCaps, enqueued: accepted.microseconds)
  }

  /// Caps that come along have no hash before a lane has checked them.
  private var namedCaps: CapHomes.Named {
    switch work {
    case .call: options.caps.isEmpty ? .none : CapHomes.Named(options.caps.lazy.map(\.prefix))
    case .putCap(let claim): claim.map { CapHomes.Named($0.prefix) } ?? .none
    }
  }
}

extension CapHash {
  /// Eight bytes of it.
  fileprivate var prefix: UInt64 { words.0 }
}
