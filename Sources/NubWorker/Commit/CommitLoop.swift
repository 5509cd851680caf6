internal import Logging
internal import NubCap
internal import NubStore

/// Builds a transaction of what has gathered, commits it, and hands on what may go on. When nothing waits it keeps house. Used by
/// whoever has the ``CommitTurn``.
final class CommitLoop {
  private let committer: Committer
  private let writer: any StoreWriter
  private let store: any Store
  private let queue: WorkQueue
  private let outbox: Outbox
  private let engine: NubStore.Engine
  private let image: ImageID?
  private let retention: RetentionPolicy
  private let pulse: Pulse
  private let logger: Logger
  private let metrics = CommitMetrics()

  private var batch = CommitBatch()
  /// The jobs of `batch.finished`, by index.
  private var recorded: [Job] = []
  /// The jobs of `batch.caps`, by index.
  private var filing: [Job] = []
  /// How many jobs leave each journal row with this batch.
  private var leaving: [JournalID: (batch: JournalBatch, count: Int)] = [:]
  /// What a failed commit left to be tried again.
  private var held = Committer.Work()
  private var backoff: UInt64 = 0
  /// Whether the last ``settle()`` failed.
  private var isUnsettled = false
  private var nextHeartbeat = Monotonic.now
  private var nextTakeOver = Monotonic.now
  private var nextHouse = Monotonic.now
  /// Whether the last look at the house left something to do.
  private var hasHouseWork = false

  private static let heartbeatMilliseconds: UInt64 = 5_000
  private static let takeOverMilliseconds: UInt64 = 5_000
  private static let houseMilliseconds: UInt64 = 500
  /// While there is more to do: a slice takes some two milliseconds, so that a worker under load gives a fifth of its
  /// committer's time to it, and removes faster than it records.
  private static let busyHouseMilliseconds: UInt64 = 10
  private static let maximumBackoffMilliseconds: UInt64 = 2_000

  init(
    committer: Committer, store: any Store, writer: any StoreWriter, queue: WorkQueue, outbox: Outbox,
    engine: NubStore.Engine, image: ImageID?, retention: RetentionPolicy, pulse: Pulse, logger: Logger
  ) {
    self.committer = committer
    self.store = store
    self.writer = writer
    self.queue = queue
    self.outbox = outbox
    self.engine = engine
    self.image = image
    self.retention = retention
    self.pulse = pulse
    self.logger = logger
  }

  /// - Returns: the milliseconds to wait for work.
  func begin() -> UInt64? {
    takeOver()
    pulse.work()
    return Self.houseMilliseconds
  }

  /// Does what is to be done next.
  ///
  /// - Returns: the milliseconds to wait for more; nil: that was the last.
  func take(_ next: Committer.Next) -> UInt64? {
    switch next {
    case .work(let work):
      commit(held.isEmpty ? work : takeHeld(with: work))
      // A worker that is never idle keeps house, too.
      if Monotonic.now >= nextHouse, !committer.isClosed { keepHouse() }
    case .idle: if held.isEmpty { keepHouse() } else { commit(takeHeld(with: Committer.Work())) }
    case .closed:
      if !held.isEmpty { commit(takeHeld(with: Committer.Work())) }
      close()
      pulse.rest()
      return nil
    }
    // It never waits for longer than half a second, so no step is one that takes any time.
    pulse.work()
    return held.isEmpty ? (hasHouseWork ? 0 : Self.houseMilliseconds) : min(backoff, Self.houseMilliseconds)
  }

  /// Commits jobs that have finished, and nothing else.
  ///
  /// - Returns: false if something else is to be done first.
  func commitAtOnce(_ jobs: [Job]) -> Bool {
    // An earlier commit failed: what it left comes first, and when is its own matter.
    guard held.isEmpty else { return false }
    var work = Committer.Work()
    work.finished = jobs
    commit(work)
    return true
  }

  private func commit(_ work: Committer.Work) {
    WorkerFailpoint.pass(.committing)
    batch.removeAll()
    recorded.removeAll(keepingCapacity: true)
    filing.removeAll(keepingCapacity: true)
    leaving.removeAll(keepingCapacity: true)
    do throws(StoreError) {
      let rows = try fill(work)
      let began = Monotonic.now
      try writer.commit(batch) { index, winner in
        recorded[index].winner = RecordedResult(winner)
      } incomplete: { index, missing in
        // The put has its outcome, and one cap.
        if !filing[index].isCall { filing[index].outcome?.missingReferences = UInt32(clamping: missing) }
      }
      metrics.committed(jobs: work.finished.count, microseconds: Monotonic.now.microseconds(since: began))
      backoff = 0
      WorkerFailpoint.pass(.committed)
      succeed(work, rows)
      settle()
    } catch {
      fail(work, error)
    }
    // The jobs' memory must not be kept by what refers to it.
    batch.removeAll()
    recorded.removeAll(keepingCapacity: true)
    filing.removeAll(keepingCapacity: true)
  }

  // MARK: Building the transaction

  /// - Returns: the journal rows of the jobs that arrived, and of the suspects.
  private func fill(_ work: Committer.Work) throws(StoreError) -> [JournalID] {
    var rows: [JournalID] = []
    for jobs in work.arrived {
      let id = writer.makeJournalID()
      rows.append(id)
      batch.journalAdditions.append(
        JournalAddition(id: id, count: UInt32(jobs.count), jobs: .array(JournalCodec.encode(jobs))))
    }
    for job in work.suspects { rows.append(noteSoloRun(of: job)) }
    let now = UnixTime.milliseconds
    for job in work.finished {
      try addCaps(of: job)
      try addResult(of: job, now)
      if let batch = job.journal { leaving[batch.id, default: (batch, 0)].count += 1 }
    }
    for (id, entry) in leaving where entry.batch.unfinished <= entry.count {
      batch.journalDeletions.append(id)
    }
    // Many uses of one cap are one change of its row.
    var skips: [CapHash: UInt32] = [:]
    for use in work.uses { skips[use.hash, default: 0] += use.isSkippedPut ? 1 : 0 }
    for (hash, count) in skips {
      batch.capUses.append(CapUse(hash: hash, skips: count, lastUsedMilliseconds: now))
    }
    for cancel in work.cancels {
      batch.cancels.append(
        CancelRequest(
          tenant: try tenant(cancel.tenant), jobID: .array(cancel.id.array), requestedMilliseconds: now))
    }
    let time = Monotonic.now
    if time >= nextHeartbeat {
      batch.heartbeat = now
      nextHeartbeat = time + Milliseconds(Self.heartbeatMilliseconds)
    }
    return rows
  }

  /// Each suspect has a row of its own, which counts its runs: only a death during one of those is charged to it.
  private func noteSoloRun(of job: Job) -> JournalID {
    job.attempt += 1
    if let row = job.journal, row.isSolo {
      batch.journalUpdates.append(JournalUpdate(id: row.id, attempts: job.attempt))
      return row.id
    }
    let id = writer.makeJournalID()
    batch.journalAdditions.append(
      JournalAddition(id: id, attempts: job.attempt, count: 1, jobs: .array(JournalCodec.encode([job]))))
    if let old = job.journal { leaving[old.id, default: (old, 0)].count += 1 }
    return id
  }

  private func addCaps(of job: Job) throws(StoreError) {
    for filed in job.filedCaps {
      filing.append(job)
      batch.caps.append(
        NewCap(
          hash: filed.cap.hash, kind: filed.cap.kind.rawValue, wire: .memory(job.wire(of: filed)),
          references: filed.cap.references, tenant: try tenant(job.tenantName)))
    }
  }

  private func addResult(of job: Job, _ now: Int64) throws(StoreError) {
    guard job.isCall, let digest = job.digest, job.winner == nil, let outcome = job.outcome,
      outcome.status.isRecorded
    else { return }
    let isOK = outcome.status == .ok
    batch.finished.append(
      FinishedJob(
        tenant: try tenant(job.tenantName), jobID: .memory(job.id), verb: job.verb.rawValue,
        operand: .memory(job.operand), digest: digest, attempts: job.attempt,
        status: outcome.status.rawValue,
        guestStatus: outcome.guestStatus, body: isOK ? .array(outcome.body) : .empty,
        message: isOK ? .empty : .array(outcome.body), engine: engine, image: image, sandbox: outcome.sandbox,
        queuedMicroseconds: outcome.queuedMicroseconds, runMicroseconds: outcome.runMicroseconds,
        acceptedMilliseconds: job.acceptedUnixMilliseconds, finishedMilliseconds: now,
        request: isOK ? .empty : .array(JournalCodec.encode([job]))))
    recorded.append(job)
  }

  private func tenant(_ name: ShortBytes) throws(StoreError) -> TenantID {
    if name.isEmpty { return .default }
    return try name.withUnsafeBytes { (bytes) throws(StoreError) in try writer.tenant(named: bytes) }
  }

  // MARK: After it

  private func succeed(_ work: Committer.Work, _ rows: [JournalID]) {
    for (_, entry) in leaving { entry.batch.unfinished -= entry.count }
    var row = rows.makeIterator()
    for jobs in work.arrived {
      guard let id = row.next() else { break }
      let journal = JournalBatch(id: id, unfinished: jobs.count)
      for job in jobs { job.journal = journal }
      WorkerFailpoint.pass(.journaled)
      queue.enqueue(jobs)
    }
    for job in work.suspects {
      guard let id = row.next() else { break }
      if job.journal?.id != id { job.journal = JournalBatch(id: id, unfinished: 1, isSolo: true) }
    }
    if !work.suspects.isEmpty { WorkerFailpoint.pass(.suspectNoted) }
    queue.enqueue(work.suspects)
    outbox.put(work.finished)
  }

  /// The store's own work, behind the replies.
  private func settle() {
    do throws(StoreError) {
      try writer.settle()
      isUnsettled = false
    } catch {
      // With every commit until the cause is gone: once is enough.
      if !isUnsettled { logger.warning("the store's log cannot be moved", metadata: ["error": "\(error)"]) }
      isUnsettled = true
    }
  }

  /// Nothing was changed. Those who can ask again are told to; what came through a pipeline is tried again, for nobody else will.
  private func fail(_ work: Committer.Work, _ error: StoreError) {
    if backoff == 0 {
      logger.error("commit failed", metadata: ["error": "\(error)", "jobs": "\(work.finished.count)"])
    }
    metrics.failed()
    backoff = min(Self.maximumBackoffMilliseconds, max(50, backoff * 2))
    let isLast = committer.isClosed
    var answered: [Job] = []
    for job in work.finished {
      if job.journal != nil, !isLast {
        held.finished.append(job)
        continue
      }
      if job.winner == nil, job.outcome?.status.isRecorded == true {
        job.outcome = JobOutcome(storeFailure: error)
      }
      answered.append(job)
    }
    for jobs in work.arrived {
      if isLast {
        for job in jobs { job.outcome = JobOutcome(storeFailure: error) }
        answered.append(contentsOf: jobs)
      } else {
        held.arrived.append(jobs)
      }
    }
    for job in work.suspects {
      // It was counted as started, and was not.
      job.attempt -= 1
      if !isLast { held.suspects.append(job) }
    }
    outbox.put(answered)
  }

  private func takeHeld(with work: Committer.Work) -> Committer.Work {
    var all = held
    held = Committer.Work()
    all.finished.append(contentsOf: work.finished)
    all.arrived.append(contentsOf: work.arrived)
    all.suspects.append(contentsOf: work.suspects)
    all.uses.append(contentsOf: work.uses)
    all.cancels.append(contentsOf: work.cancels)
    return all
  }

  // MARK: House-keeping

  private func keepHouse() {
    let notes = committer.takeNotes()
    let now = Monotonic.now
    // Only a commit that succeeds takes a refusal back.
    if store.refusal != nil { nextHeartbeat = now }
    if !notes.isEmpty || now >= nextHeartbeat {
      var work = Committer.Work()
      work.uses = notes
      commit(work)
    }
    // The end waits for nothing that the next start can do: each attempt may take as long as a lock is waited for.
    guard !committer.isClosed else { return }
    if now >= nextTakeOver { takeOver() }
    do throws(StoreError) {
      // One slice, then another look at the inbox.
      hasHouseWork = try writer.maintain(retention, now: UnixTime.milliseconds)
    } catch {
      hasHouseWork = false
      logger.warning("store maintenance failed", metadata: ["error": "\(error)"])
    }
    nextHouse = .now + Milliseconds(hasHouseWork ? Self.busyHouseMilliseconds : Self.houseMilliseconds)
  }

  /// Hands the journals of workers that are gone, this one's own earlier life included, to the doors.
  private func takeOver() {
    nextTakeOver = .now + Milliseconds(Self.takeOverMilliseconds)
    do throws(StoreError) {
      outbox.put(inherited: try writer.takeOver())
    } catch {
      logger.warning("cannot take over journals", metadata: ["error": "\(error)"])
    }
  }

  private func close() {
    do throws(StoreError) {
      try writer.close()
    } catch {
      logger.warning("the store was not closed in good order", metadata: ["error": "\(error)"])
    }
  }
}

/// A cap in the store that somebody had use for: it is kept for that.
struct NotedUse: Sendable {
  var hash: CapHash
  /// A put that the store answered.
  var isSkippedPut = false
}

extension JobOutcome {
  /// The store takes no new work, for a reason that it gives; nothing was run.
  init(refusal: StoreError) {
    self.init(.unavailable, message: "the store takes no new work: \(refusal.message)")
    retryAfterMilliseconds = 1_000
  }

  /// The store failed: status 11 if that may pass, else 15.
  init(storeFailure error: StoreError) {
    if error.isTransient {
      self.init(.unavailable, message: "the store cannot be written: \(error.message)")
      retryAfterMilliseconds = 1_000
    } else {
      self.init(.internal, message: "the store failed")
    }
  }
}
