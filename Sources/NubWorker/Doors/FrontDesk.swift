internal import DequeModule
internal import Logging
internal import NubBroker
internal import NubCap
internal import NubSecurity
internal import NubStore
internal import NubZMQ

/// The door thread's work: receives messages, answers what can be answered at once, hands jobs on, and sends the replies of those
/// that come back. All sockets, and everything in here, belong to that thread.
///
/// How a message becomes a job is in `FrontDesk+Intake.swift`, the verbs that need no sandbox are in `FrontDesk+Verbs.swift`, and
/// replies in `FrontDesk+Replies.swift`.
final class FrontDesk {
  /// What the desk was built with.
  struct Parts {
    var doors: [Door]
    var store: any Store
    var reader: any StoreReader
    var queue: WorkQueue
    var committer: Committer
    var outbox: Outbox
    var wakeup: Wakeup
    var shutdown: ShutdownRequest
    var lanes: LaneControl
    var fleets: [FleetBridge] = []
    var pulse = Pulse()
    var health = Health()
    var board = WorkerBoard()
    var logger: Logger
  }

  let parts: Parts
  let limits: FrontDeskLimits
  let decoder: FrameDecoder
  let identity: DeskIdentity
  let metrics: WorkerMetrics

  var poller: PollSet
  var inbound: InboundMessage
  var sender: ReplySender
  var credit: Credit
  var tenants = TenantTable()
  /// Calls that are somewhere between a door and their reply.
  var calls: [JobKey: Job] = [:]
  /// Puts that claimed a hash, likewise: identical ones are one.
  var puts: [PutKey: Job] = [:]
  /// Puts without a claim, which nobody can join: only counted.
  var anonymousPuts = 0
  /// Recorded, to be answered.
  var finished: Deque<Job> = []
  /// Received in this round, not looked up yet.
  var candidates: [Candidate] = []
  /// Inherited jobs that may have killed a worker; they run one at a time.
  var suspects: Deque<Job> = []
  var runningSuspect: Job?
  /// Puts that were answered from the store, for its counters.
  var uses: [NotedUse] = []
  /// Cancels of jobs that are not here, until it is known whether another worker on the store has them.
  var cancels = PendingCancels()
  /// When to look next whether other workers have finished what runs here.
  var nextLookAtDecided = Monotonic(nanoseconds: 0)
  /// Questions that are looked up a part at a time.
  var searches = Searches()
  var polling: AnswerPolling
  var memory: MemoryGuard
  var phase = Phase.serving
  /// Whether new work is refused though the worker goes on.
  var isQuiet = false
  private var nextHousekeeping = Monotonic.now

  struct PutKey: Hashable {
    var tenant: TenantSlot
    var hash: CapHash
  }

  struct Candidate {
    var job: Job
    var door: Door
  }

  enum Phase: Equatable {
    case serving
    /// Nothing new is taken; what is here is finished until the deadline.
    case draining(until: Monotonic)
    /// What has not finished is given back.
    case stopping
  }

  init(
    _ parts: Parts, poller: consuming PollSet, limits: FrontDeskLimits, protocolLimits: ProtocolLimits,
    identity: DeskIdentity, metrics: WorkerMetrics
  ) {
    self.parts = parts
    self.limits = limits
    self.identity = identity
    self.metrics = metrics
    self.poller = poller
    decoder = FrameDecoder(limits: protocolLimits)
    inbound = InboundMessage(
      maximumFrames: ProtocolLimits.frames + 1, maximumBytes: protocolLimits.messageBytes)
    polling = AnswerPolling(limitMicroseconds: limits.pollMicroseconds)
    memory = MemoryGuard(limit: limits.residentBytes, stages: 2)
    sender = ReplySender(worker: identity.name, engine: identity.engine)
    credit = Credit(maximumJobs: limits.maximumJobs, maximumBytes: limits.maximumBytes)
  }

  /// Serves until it is told to stop and everything has been answered or given back.
  func run() throws(ZMQError) {
    parts.health.update { $0.phase = .serving }
    while !isDone {
      parts.pulse.work()
      // Before the look at what it stands for.
      parts.wakeup.clear()
      deliverFinished(limit: limits.roundMessages)
      adoptInherited()
      try flushUnsent()
      // Before the doors are read: what arrives behind the signal is refused, not taken.
      if phase == .serving, parts.shutdown.wish != .none { advance(.now) }
      if parts.shutdown.wantsQuiet != isQuiet { changeQuiet() }
      var isBusy = !finished.isEmpty
      for door in parts.doors where takes(door) { if try receive(from: door) { isBusy = true } }
      admit()
      advanceSearches()
      if !searches.isEmpty { isBusy = true }
      let now = Monotonic.now
      if now >= nextHousekeeping {
        try guardMemory(now)
        housekeep(now)
        nextHousekeeping = now + Milliseconds(limits.housekeepingMilliseconds)
      }
      if !isBusy, !polling.looksAgain(at: now, jobs: inFlight) { try wait(now) }
    }
  }

  /// How many jobs are here.
  var inFlight: Int { calls.count + puts.count + anonymousPuts }

  private var isDone: Bool {
    switch phase {
    case .serving: false
    case .draining: inFlight == 0 && searches.isEmpty && parts.doors.allSatisfy(\.unsent.isEmpty)
    case .stopping: true
    }
  }

  /// Whether messages are read from the door now.
  private func takes(_ door: Door) -> Bool {
    switch door.kind {
    // Refusals are answers, too: a direct door is read for as long as there is someone to answer.
    case .direct: true
    // Nobody can ask again there, so while the store refuses work it is left with the producer.
    case .pipeline: phase == .serving && !isQuiet && !hasPlenty && parts.store.refusal == nil
    }
  }

  /// Whether pipeline doors have taken enough for now. What they take is journaled and held until its reply has left, and more of it
  /// makes nothing quicker (docs/decisions/0431); a direct door's jobs are held by whoever waits for them, and only run out of credit.
  var hasPlenty: Bool {
    credit.isExhausted || credit.isPulledShareExhausted
      || (credit.pulledBytes >= limits.plentyBytes && credit.pulledJobs >= limits.plentyJobs)
  }

  private func wait(_ now: Monotonic) throws(ZMQError) {
    var timeout = limits.housekeepingMilliseconds
    for door in parts.doors {
      let isWaiting = !door.unsent.isEmpty
      poller.setInterest(door.inputItem, takes(door) ? .readable : [])
      if let item = door.outputItem { poller.setInterest(item, isWaiting ? .writable : []) }
      // A ROUTER cannot say which peer it could send to again.
      if isWaiting, door.outputItem == nil { timeout = min(timeout, limits.resendMilliseconds) }
    }
    try poller.wait(milliseconds: timeout)
  }

  private func housekeep(_ now: Monotonic) {
    let expired = parts.queue.removeExpired()
    for job in expired { job.outcome = JobOutcome(.deadlineExceeded, message: "expired before it started") }
    if !expired.isEmpty { parts.committer.submit(finished: expired) }
    let levels = parts.queue.levels
    metrics.queue(
      levels, inFlight: inFlight, limit: limits.maximumJobs, lanes: parts.lanes.occupancy)
    if !parts.fleets.isEmpty { metrics.fleets(parts.fleets) }
    metrics.flush()
    parts.board.set(
      queue: levels, inFlight: inFlight, maximumJobs: limits.maximumJobs, totals: metrics.totals)
    let refusal = parts.store.refusal?.message
    parts.health.update { report in
      report.inFlight = inFlight
      report.waiting = levels.reduce(0) { $0 + $1.jobs }
      if report.storeRefusal != refusal { report.storeRefusal = refusal }
    }
    if !uses.isEmpty {
      parts.committer.note(uses: uses)
      uses.removeAll(keepingCapacity: true)
    }
    followCancels(now)
    endWhatIsDecided(now)
    dropStaleReplies(now)
    advance(now)
  }

  /// Moves on when a shutdown is asked for, and when the time for it is over.
  private func advance(_ now: Monotonic) {
    let wish = parts.shutdown.wish
    if phase == .serving, wish != .none {
      parts.logger.info("draining", metadata: ["in_flight": "\(inFlight)"])
      parts.health.update { $0.phase = .draining }
      phase = .draining(until: now + Milliseconds(limits.drainMilliseconds))
      // The broker looks for other workers at once, instead of being refused job by job.
      for fleet in parts.fleets { fleet.drain() }
    }
    guard case .draining(let deadline) = phase, wish == .atOnce || now >= deadline else { return }
    // What is interrupted must not be started again.
    parts.queue.close()
    giveBackWaiting()
    parts.lanes.stop()
    if inFlight == 0 || wish == .atOnce || now >= deadline + Milliseconds(limits.graceMilliseconds) {
      phase = .stopping
    }
  }

  /// Stops taking new work, or takes it again. What is here goes on either way.
  private func changeQuiet() {
    isQuiet.toggle()
    guard phase == .serving else { return }
    parts.logger.notice(
      isQuiet ? "quiet: nothing new is taken" : "resumed", metadata: ["in_flight": "\(inFlight)"])
    for fleet in parts.fleets { if isQuiet { fleet.drain() } else { fleet.resume() } }
    parts.health.update { $0.phase = isQuiet ? .quiet : .serving }
  }

  /// Answers jobs that have not started with `unavailable`; journaled ones stay in the journal for the next start.
  private func giveBackWaiting() {
    for job in parts.queue.removeAll() {
      if job.journal == nil {
        var outcome = JobOutcome(.unavailable, message: "the worker is shutting down")
        outcome.retryAfterMilliseconds = limits.retryAfterMilliseconds
        job.outcome = outcome
        finish(job)
      } else {
        forget(job)
      }
    }
  }

  /// After the end of the lanes: tells the direct askers of what was interrupted to ask elsewhere. Journaled jobs stay in the journal.
  func answerUnfinished() {
    giveUpSearches()
    for job in Array(calls.values) + Array(puts.values) {
      guard job.journal == nil, job.askers.contains(where: { parts.doors[$0.door].kind == .direct }) else {
        forget(job)
        continue
      }
      job.outcome = unavailable("the worker is shutting down")
      finish(job)
    }
  }
}

/// What the door thread allows. Milliseconds unless said.
struct FrontDeskLimits: Sendable {
  var maximumJobs = 4_096
  var maximumBytes = 256 << 20
  /// Pipeline doors take no more while they have brought as many bytes, in at least as many jobs, for lanes must not wait for large ones.
  var plentyBytes = 4 << 20
  var plentyJobs = 64
  /// Messages taken from one door before the others get their turn.
  var roundMessages = 256
  var housekeepingMilliseconds = 100
  /// Microseconds to look out for the answer of a lone job before sleeping.
  var pollMicroseconds: UInt64 = 0
  var resendMilliseconds = 5
  /// Replies for direct peers that do not read: how many, how many bytes, and for how long they are kept.
  var unsentReplies = 65_536
  var unsentBytes = 64 << 20
  var unsentMilliseconds = 30_000
  var retryAfterMilliseconds: UInt32 = 250
  var drainMilliseconds = 30_000
  /// After the drain's end: for interrupted jobs to come back.
  var graceMilliseconds = 2_000
  /// Hashes in one `find_missing`.
  var hashes = 65_536
  /// Hashes that are looked up between two looks at the doors, and of one question before the next has its turn.
  var roundHashes = 512
  var turnHashes = 256
  /// Bytes of hashes that may wait to be looked up.
  var searchBytes = 32 << 20
  /// How long retention keeps caps that nobody uses; nil: forever.
  var capAgeMilliseconds: Int64?
  /// Resident bytes of the process over which doors are reopened; 0: never.
  var residentBytes = 0
}

/// Who this worker is, as replies and the store say it.
struct DeskIdentity: Sendable {
  var name: String
  var engine: String
  var version: String
  /// The body of the answer to `ping`.
  var pingBody: [UInt8]
}
