internal import Logging
internal import NubCap
internal import Synchronization

/// A lane: one thread that runs batches on one sandbox at a time.
///
/// What it does with each way a job can end is in `Lane+Outcome.swift`, what it does about caps in `Lane+Caps.swift`.
final class Lane {
  let index: Int
  let queue: WorkQueue
  let committer: Committer
  /// What the lane commits through itself; nil: the committer does it all.
  let turn: CommitTurn?
  let source: any LaneEngineSource
  let caps: LaneCaps
  /// nil: no others are looked out for.
  let shared: SharedPuts?
  let control: LaneControl
  let limits: LaneLimits
  let pulse: Pulse
  let health: Health
  let logger: Logger

  /// The sandbox, whose it is, and whether a batch ran in it since it was made or restored.
  private(set) var engine: (any LaneEngine)?
  private var tenant: TenantSlot?
  private var isUsed = false
  /// Whether the tenant may want what is in it, and whether it has another one that it wants more: one it left for a job that
  /// had to have a fresh one.
  private var keepsState = false
  private var hasLeftAnother = false
  /// Whether the last attempt to get a sandbox failed.
  var hasSandboxProblem = false
  /// Finished and not handed to the committer yet, and the bytes of their results.
  private(set) var finished: [Job] = []
  private var finishedBytes = 0
  private var lastHandOver = Monotonic.now

  init(
    index: Int, queue: WorkQueue, committer: Committer, turn: CommitTurn? = nil, source: any LaneEngineSource,
    caps: LaneCaps, shared: SharedPuts? = nil, control: LaneControl, limits: LaneLimits, pulse: Pulse,
    health: Health = Health(),
    logger: Logger
  ) {
    self.index = index
    self.queue = queue
    self.committer = committer
    self.turn = turn
    self.source = source
    self.caps = caps
    self.shared = shared
    self.control = control
    self.limits = limits
    self.pulse = pulse
    self.health = health
    self.logger = logger
  }

  /// Runs until the queue is closed.
  func run() {
    while let batch = queue.take(for: seat) {
      pulse.work()
      for job in batch.expired {
        end(job, JobOutcome(.deadlineExceeded, message: "expired before it started"))
      }
      WorkerFailpoint.pass(.taken)
      if !batch.items.isEmpty { run(batch) }
      WorkerFailpoint.pass(.ran)
      endBatch()
      pulse.rest()
    }
    giveBackEngine()
  }

  /// What it has now.
  private var seat: CapHomes.Seat {
    CapHomes.Seat(lane: index, tenant: tenant, sandbox: engine?.sandboxID ?? 0)
  }

  private func run(_ batch: Scheduler<Job>.Batch) {
    let start = Monotonic.now
    let fresh = batch.isAlone
    do throws(EngineError) {
      try prepare(for: batch.tenant, fresh: fresh, home: batch.home)
    } catch {
      // They wait for a sandbox as they would for a lane: nothing has run, so nothing has failed.
      logger.error("no sandbox; jobs wait", metadata: ["error": "\(error.message)"])
      noteSandboxes(problem: error.message)
      queue.giveBack(batch.items)
      // It has nothing to do, so it makes no steps.
      pulse.rest()
      source.waitForChange()
      return
    }
    let prepared = Monotonic.now
    var ran = 0
    var position = 0
    var notRun: [Job] = []
    while position < batch.items.count {
      // A put is a call of its own kind; runs of calls between them go in one entry.
      var end = position
      while end < batch.items.count, batch.items[end].isCall { end += 1 }
      if end > position {
        ran += run(batch.items[position..<end], notRun: &notRun)
        position = end
      } else {
        pulse.work()
        put(batch.items[position])
        ran += 1
        position += 1
      }
      if engine?.isPoisoned != false, position < batch.items.count {
        // The rest is for a new sandbox; another lane may be quicker.
        notRun.append(contentsOf: batch.items[position...])
        break
      }
    }
    isUsed = true
    if let engine, let tenant = batch.items.first?.tenantName { caps.noteUses(in: engine, of: tenant) }
    if !notRun.isEmpty { queue.giveBack(notRun) }
    queue.finished(
      batch, jobs: ran, took: Monotonic.now.microseconds(since: start),
      preparing: prepared.microseconds(since: start), in: seat)
  }

  /// Makes sure that there is a sandbox which this tenant may use. Costs nothing where the last batch was the same tenant's.
  private func prepare(for next: TenantSlot, fresh: Bool, home: UInt64) throws(EngineError) {
    if let engine, !engine.isPoisoned, tenant == next, fresh ? !isUsed : !hasLeftAnother {
      if !fresh { keepsState = true }
      return
    }
    let leavesAnother = fresh && tenant == next && (keepsState || hasLeftAnother)
    giveBackEngine()
    let taken = try source.take(next, fresh: fresh, preferring: home, caps: caps)
    noteSandboxes(problem: nil)
    engine = taken
    tenant = next
    isUsed = !taken.isPristine
    keepsState = !fresh
    hasLeftAnother = leavesAnother
  }

  /// Lets go of the sandbox, for its tenant or for anybody after a restore.
  private func giveBackEngine() {
    guard let engine, let tenant else { return }
    source.give(engine, of: tenant, engine.isPoisoned ? .discard : keepsState ? .keep : .reuse)
    self.engine = nil
  }

  /// Lets go of a sandbox that would go on, but shall not.
  func discardEngine() {
    guard let engine, let tenant else { return }
    source.give(engine, of: tenant, .discard)
    self.engine = nil
  }

  /// Runs `jobs`, all of them calls, in one entry.
  ///
  /// - Returns: how many of them ran.
  private func run(_ jobs: ArraySlice<Job>, notRun: inout [Job]) -> Int {
    guard let engine else { return 0 }
    var ready: [Job] = []
    var calls: [EngineCall] = []
    ready.reserveCapacity(jobs.count)
    calls.reserveCapacity(jobs.count)
    let now = Monotonic.now
    for job in jobs {
      guard case .call(let function) = job.work else { continue }
      // The caps of a job before this one broke the sandbox.
      guard self.engine === engine else {
        notRun.append(job)
        continue
      }
      job.attempt += 1
      job.started = now
      if job.isCancelled.load(ordering: .relaxed) {
        end(job, JobOutcome(.cancelled, message: "cancelled before it started"))
        continue
      }
      if job.needsCaps, let refusal = supplyCaps(of: job, to: engine) {
        if refusal.status == .guestFault, tryAgainAlone(job, String(decoding: refusal.body, as: UTF8.self)) {
          continue
        }
        end(job, refusal)
        continue
      }
      ready.append(job)
      calls.append(
        EngineCall(
          function: function, payload: job.body,
          deadlineMilliseconds: min(job.options.deadlineMilliseconds ?? .max, limits.maximumRunMilliseconds)))
    }
    guard let first = ready.first else { return 0 }
    guard self.engine === engine else {
      // None of them has begun.
      for job in ready {
        job.attempt -= 1
        job.filedCaps.removeAll()
      }
      notRun.append(contentsOf: ready)
      return 0
    }
    caps.begin(tenant: first.tenantName)
    guard
      control.began(
        ready, lane: index, sandbox: engine.sandboxID, interrupt: engine.interrupt,
        dump: engine.dump)
    else {
      caps.end()
      for job in ready { job.attempt -= 1 }
      notRun.append(contentsOf: ready)
      return 0
    }
    defer {
      control.ended(lane: index)
      caps.end()
    }
    let isAlone = ready.count == 1 && !isUsed
    let sandbox = engine.sandboxID
    var ran = 0
    var left: [Job] = []
    JobTrace.within(ready) {
      calls.withUnsafeBufferPointer { calls in
        engine.run(calls) { index, result, microseconds in
          let job = ready[index]
          if case .notRun = result {
            // Somebody else's turn was the start of it, not its own.
            job.attempt -= 1
            left.append(job)
            return
          }
          ran += 1
          pulse.work()
          conclude(job, result, microseconds: microseconds, sandbox: sandbox, wasAlone: isAlone)
          handOverIfDue()
        }
      }
    }
    notRun.append(contentsOf: left)
    return ran
  }

  /// Hands what has finished to the committer in the midst of a long batch: those that are done do not wait for those that are not.
  private func handOverIfDue() {
    // Large results are not kept for others to come.
    if finishedBytes >= Self.muchResult { return handOver() }
    // One look at the clock per job costs more than it saves for short jobs.
    guard finished.count & 15 == 0 || finished.count == 1 else { return }
    let now = Monotonic.now
    if now.microseconds(since: lastHandOver) > 2_000 { handOver() }
  }

  /// Bytes of results that a lane does not keep back.
  private static let muchResult = 1 << 20

  /// Keeps a job that has ended for the next hand-over.
  func keep(_ job: Job) {
    finished.append(job)
    finishedBytes += job.outcome?.body.count ?? 0
  }

  /// Ends a batch. With nothing else to run, the lane commits few jobs itself: nobody would be quicker.
  private func endBatch() {
    if (1...Self.fewJobs).contains(finished.count), queue.isEmpty, let turn, turn.commitAtOnce(finished) {
      forgetFinished()
    }
    handOver()
  }

  /// Up to how many a lane commits itself: where more finish at once, others are to follow, and the lane is wanted for them.
  private static let fewJobs = 4

  /// Hands what has finished to the committer.
  func handOver() {
    lastHandOver = Monotonic.now
    guard !finished.isEmpty else { return }
    committer.submit(results: finished, bytes: finishedBytes)
    forgetFinished()
  }

  private func forgetFinished() {
    finished.removeAll(keepingCapacity: true)
    finishedBytes = 0
  }
}

/// What a lane allows.
struct LaneLimits: Sendable {
  /// The longest run time of a job that asks for none, or for more.
  var maximumRunMilliseconds: UInt32 = 60_000
  /// What producers are told when no sandbox can be made.
  var retryAfterMilliseconds: UInt32 = 1_000
}
