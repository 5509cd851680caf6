internal import DequeModule
internal import Logging
internal import NubCap
internal import NubStore

/// Jobs that an earlier worker had journaled and not finished.
extension FrontDesk {
  /// How often a worker may die while it runs a job alone.
  static let soloRuns: UInt32 = 3

  func adoptInherited() {
    let rows = parts.outbox.takeInherited()
    guard !rows.isEmpty else { return }
    // A suspect is in a row of its own, with its count, and until its batch is finished in the batch's as well. The count comes
    // first, or a job that kills would be new at each start and its mates would never have their turn.
    var solo = Set<JobKey>()
    for row in rows.sorted(by: { ($0.attempts, $1.id.rawValue) > ($1.attempts, $0.id.rawValue) }) {
      adopt(row, &solo)
    }
    startNextSuspect()
  }

  private func adopt(_ row: InheritedJournal, _ solo: inout Set<JobKey>) {
    parts.logger.info(
      "took over journaled jobs", metadata: ["jobs": "\(row.count)", "attempts": "\(row.attempts)"])
    WorkerFailpoint.pass(.adopting)
    var jobs: [Job] = []
    let isWhole = JournalCodec.decode(row.jobs) { door, frames in
      if let job = inheritedJob(frames, door) { jobs.append(job) }
    }
    if !isWhole { parts.logger.error("a journal row is damaged", metadata: ["readable": "\(jobs.count)"]) }
    guard !jobs.isEmpty else { return }
    var died = false
    if case .died = row.origin { died = true }
    let batch = JournalBatch(id: row.id, unfinished: jobs.count, isSolo: jobs.count == 1)
    var ready: [Job] = []
    for job in jobs {
      job.journal = batch
      job.attempt = row.attempts
      let isHere = job.isCall ? calls[job.key] != nil : row.attempts == 0 && solo.contains(job.key)
      if row.attempts > 0 { solo.insert(job.key) }
      if isHere {
        // Its other row counts, or it came again meanwhile and runs: this one only leaves the journal.
        job.isStray = true
        job.outcome = unavailable("the job is running")
        parts.committer.submit(finished: [job])
        continue
      }
      enter(job)
      if endsEarly(job, died: died) { continue }
      if died { suspects.append(job) } else { ready.append(job) }
    }
    parts.queue.enqueue(ready)
  }

  /// Answers inherited jobs that are recorded already, or have killed too many workers.
  private func endsEarly(_ job: Job, died: Bool) -> Bool {
    do throws(StoreError) {
      try parts.reader.snapshot { () throws(StoreError) in
        if job.isCall { job.winner = try parts.reader.result(of: job.id, tenant: job.tenantName) }
      }
    } catch {
      parts.logger.error("look-up failed", metadata: ["error": "\(error)"])
    }
    if job.winner == nil, died, job.journal?.isSolo == true, job.attempt >= Self.soloRuns {
      job.outcome = JobOutcome(
        .quarantined, message: "the worker died \(job.attempt) times while it ran this job alone")
    }
    guard job.winner != nil || job.outcome != nil else { return false }
    parts.committer.submit(finished: [job])
    return true
  }

  /// Suspects run one at a time, so that a death can be charged to the one that ran.
  func startNextSuspect() {
    guard runningSuspect == nil, let job = suspects.popFirst() else { return }
    job.isSuspect = true
    runningSuspect = job
    parts.committer.submit(suspect: job)
  }

  private func inheritedJob(_ frames: FrameList, _ door: Int) -> Job? {
    // A blob holds the frames as the door's socket gave them; an envelope may have a routing id in front.
    guard case .job(let request) = decoder.decode(frames, prefix: 0) else { return nil }
    let work: Job.Work
    switch request.action {
    case .call(let function): work = .call(function: function)
    case .putCap(let claim): work = .putCap(claim: claim)
    case .findMissing, .getCap, .getResult, .cancel, .ping: return nil
    }
    let operand = frames[request.operandFrame]
    let body = frames[request.bodyFrame]
    let job = Job(
      key: JobKey(tenant: tenants.slot(for: request.options.tenant), id: request.id), work: work,
      digest: ContentDigest(of: request.verb, operand: operand, body: body), options: request.options,
      rawOptions: [UInt8](frames[request.start + 5]),
      attachedCaps: request.capFrames.map { AttachedCap(copying: frames[$0]) }, accepted: .now,
      acceptedUnixMilliseconds: UnixTime.milliseconds, asker: inheritedAsker(request, frames, door),
      content: JobContent(id: frames[request.start + 2], operand: operand, body: body))
    // Only pipelines' jobs are journaled; so what a start finds leaves direct askers their share of the credit.
    job.isPulled = true
    return job
  }

  /// Whoever collects from the same door now; nobody if there is no such door any more.
  private func inheritedAsker(_ request: JobRequest, _ frames: FrameList, _ door: Int) -> Asker? {
    let doors = parts.doors
    let isSame = door < doors.count && doors[door].kind == .pipeline
    guard let index = isSame ? door : doors.firstIndex(where: { $0.kind == .pipeline }) else { return nil }
    return Asker(doors[index], Envelope(frames, count: request.start), request.id)
  }
}
