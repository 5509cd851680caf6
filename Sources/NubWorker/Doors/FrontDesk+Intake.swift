internal import Glibc
internal import Logging
internal import NubCap
internal import NubStore
internal import NubZMQ

extension FrontDesk {
  /// Receives what waits at a door, up to a round's share.
  ///
  /// - Returns: whether there may be more.
  func receive(from door: Door) throws(ZMQError) -> Bool {
    for _ in 0..<limits.roundMessages {
      if door.kind == .pipeline, hasPlenty { return false }
      guard try door.receive(into: &inbound) else { return false }
      handle(from: door)
      inbound.releaseLargeFrames()
    }
    return true
  }

  private func handle(from door: Door) {
    let frames = inbound.frames
    metrics.received(bytes: inbound.byteCount)
    switch decoder.decode(frames, prefix: door.prefixFrames, truncated: inbound.isTruncated) {
    case .job(var request):
      if let refusal = authorize(&request, door) {
        metrics.refused(request.verb, refusal.status)
        return reply(
          to: Asker(door, Envelope(frames, count: request.start), request.id),
          refusal)
      }
      switch request.action {
      case .call, .putCap: accept(request, frames, door)
      default: answer(request, frames, door)
      }
    case .refused(let refusal):
      metrics.refused(nil, refusal.status)
      reply(
        to: Asker(door, Envelope(frames, count: refusal.start), refusal.id),
        JobOutcome(refusal.status, message: refusal.message))
    case .unanswerable(let reason):
      metrics.malformed()
      parts.logger.debug(
        "dropped a message without a readable job id",
        metadata: [
          "reason": "\(reason)", "frames": "\((0..<min(frames.count, 16)).map { frames[$0].count })",
          "bytes": "\(inbound.byteCount)",
        ])
    }
  }

  /// Takes a job in, unless it is here already, or there is no room.
  private func accept(_ request: JobRequest, _ frames: FrameList, _ door: Door) {
    let asker = Asker(door, Envelope(frames, count: request.start), request.id)
    let key = JobKey(tenant: tenants.slot(for: request.options.tenant), id: request.id)
    let body = frames[request.bodyFrame]
    let digest = ContentDigest(of: request.verb, operand: frames[request.operandFrame], body: body)
    if join(request, key, digest, body, asker) { return }
    guard phase == .serving, !isQuiet, !credit.isExhausted else {
      metrics.refused(request.verb, .unavailable)
      return reply(to: asker, unavailable(refusalText))
    }
    let job = makeJob(request, key, digest, asker, journaled: door.kind == .pipeline)
    job.isPulled = door.kind == .pipeline
    enter(job)
    candidates.append(Candidate(job: job, door: door))
  }

  /// Adds the asker to a job that is here already.
  private func join(
    _ request: JobRequest, _ key: JobKey, _ digest: ContentDigest?, _ body: UnsafeRawBufferPointer,
    _ asker: Asker
  ) -> Bool {
    switch request.action {
    case .call:
      guard let job = calls[key] else { return false }
      guard job.digest == digest else {
        metrics.refused(request.verb, .conflict)
        reply(to: asker, JobOutcome(.conflict, message: "this job id is running with other content"))
        return true
      }
      job.askers.append(asker)
      return true
    case .putCap(let claim?):
      // Only a put with the same bytes is the same put: a wrong claim must not get another's answer.
      guard let job = puts[PutKey(tenant: key.tenant, hash: claim)], job.body.hasSameBytes(as: body) else {
        return false
      }
      job.askers.append(asker)
      return true
    default:
      return false
    }
  }

  private func makeJob(
    _ request: JobRequest, _ key: JobKey, _ digest: ContentDigest?, _ asker: Asker, journaled: Bool
  ) -> Job {
    let work: Job.Work
    switch request.action {
    case .putCap(let claim): work = .putCap(claim: claim)
    case .call(let function): work = .call(function: function)
    default: work = .putCap(claim: nil)
    }
    // As journaled they name the tenant that the sender's key stands for: the next start does not know the key.
    let rawOptions =
      !journaled
      ? [] : request.hasKeysTenant ? request.options.json : [UInt8](inbound.frames[request.start + 5])
    let attached = request.capFrames.map { AttachedCap($0, of: &inbound) }
    let frames = inbound.frames
    return Job(
      key: key, work: work, digest: digest, options: request.options, rawOptions: rawOptions,
      attachedCaps: attached, accepted: .now, acceptedUnixMilliseconds: UnixTime.milliseconds, asker: asker,
      content: JobContent(
        id: frames[request.start + 2], operand: frames[request.operandFrame], bodyFrame: request.bodyFrame,
        of: &inbound))
  }

  /// Notes that a job is here.
  func enter(_ job: Job) {
    credit.take(job.credit)
    tenants.retain(job.key.tenant)
    switch job.work {
    case .call: calls[job.key] = job
    case .putCap(let claim?):
      let key = PutKey(tenant: job.key.tenant, hash: claim)
      if puts[key] == nil { puts[key] = job } else { anonymousPuts += 1 }
    case .putCap(nil): anonymousPuts += 1
    }
  }

  /// Looks this round's jobs up: what the store knows is answered from it, the rest goes on.
  func admit() {
    guard !candidates.isEmpty else { return }
    var arrived: [Job] = []
    var ready: [Job] = []
    let refusal = parts.store.refusal
    var failure: StoreError?
    var looked = 0
    do throws(StoreError) {
      try parts.reader.snapshot { () throws(StoreError) in
        for candidate in candidates {
          looked += 1
          do throws(StoreError) {
            if try answerFromStore(candidate.job) { continue }
          } catch {
            // A damaged page concerns what lies on it, not what came at the same time.
            failure = error
            candidate.job.outcome = JobOutcome(storeFailure: error)
            finish(candidate.job)
            continue
          }
          if candidate.door.kind == .pipeline {
            WorkerFailpoint.pass(.accepted)
            arrived.append(candidate.job)
          } else if let refusal {
            candidate.job.outcome = JobOutcome(refusal: refusal)
            finish(candidate.job)
          } else {
            WorkerFailpoint.pass(.accepted)
            ready.append(candidate.job)
          }
        }
      }
    } catch {
      failure = error
      for candidate in candidates[looked...] {
        candidate.job.outcome = JobOutcome(storeFailure: error)
        finish(candidate.job)
      }
    }
    if let failure { parts.logger.error("look-up failed", metadata: ["error": "\(failure.message)"]) }
    candidates.removeAll(keepingCapacity: true)
    parts.queue.enqueue(ready)
    if !arrived.isEmpty { parts.committer.submit(arrived: arrived) }
  }

  private func answerFromStore(_ job: Job) throws(StoreError) -> Bool {
    switch job.work {
    case .call:
      guard let recorded = try parts.reader.result(of: job.id, tenant: job.tenantName) else { return false }
      finish(job, recorded)
      return true
    case .putCap(let claim?):
      guard let lastUse = try parts.reader.lastUse(ofCap: claim, tenant: job.tenantName), lastUse >= keptSince
      else {
        // Without bytes it was a question: unknown here, send the bytes.
        guard job.body.isEmpty else { return false }
        job.outcome = JobOutcome(.capMissing, claim.bytes)
        finish(job)
        return true
      }
      metrics.putSkipped()
      uses.append(NotedUse(hash: claim, isSkippedPut: true))
      job.outcome = JobOutcome(.ok, claim.bytes)
      finish(job, isDuplicate: true)
      return true
    case .putCap(nil):
      return false
    }
  }

  /// A cap that was used at this Unix time in milliseconds or later is left alone by retention until another use is written down, some
  /// tenths of a second from now. One that may go at any moment is not known for sure: it is put as if it were new, and the
  /// transaction that keeps it comes before the reply.
  var keptSince: Int64 {
    guard let age = limits.capAgeMilliseconds else { return .min }
    return UnixTime.milliseconds - age / 2
  }

  private var refusalText: String {
    if phase != .serving { return "the worker is draining" }
    return isQuiet ? "the worker is quiet: it takes no new work now" : "the worker is at its limit"
  }

  func unavailable(_ message: String) -> JobOutcome {
    var outcome = JobOutcome(.unavailable, message: message)
    outcome.retryAfterMilliseconds = limits.retryAfterMilliseconds
    return outcome
  }
}

extension Job {
  /// What it holds of the worker's credit.
  var credit: Credit.Share { Credit.Share(bytes: byteCount, isPulled: isPulled) }
}

extension UnsafeRawBufferPointer {
  fileprivate func hasSameBytes(as other: UnsafeRawBufferPointer) -> Bool {
    guard count == other.count else { return false }
    guard let mine = baseAddress, let others = other.baseAddress else { return true }
    return memcmp(mine, others, count) == 0
  }
}
