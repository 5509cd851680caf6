internal import DequeModule
internal import Logging
internal import NubCap
internal import NubStore
internal import NubZMQ

extension FrontDesk {
  /// Answers jobs that the committer has recorded, at most `limit` of them: a sender whose peer does not read for long may lose
  /// what it sent (docs/decisions/0401).
  func deliverFinished(limit: Int = .max) {
    finished.append(contentsOf: parts.outbox.take())
    for _ in 0..<min(limit, finished.count) {
      let job = finished.removeFirst()
      WorkerFailpoint.pass(.delivering)
      if job.isStray { continue }
      if let winner = job.winner { finish(job, winner) } else { finish(job) }
    }
  }

  /// Answers everybody who waits for `job` with its outcome, and forgets it.
  func finish(_ job: Job, isDuplicate: Bool = false) {
    let outcome = job.outcome ?? JobOutcome(.internal, message: "the job ended without an outcome")
    metrics.finished(
      job.verb, outcome, total: Monotonic.now.microseconds(since: job.accepted), isDuplicate: isDuplicate)
    var meta = ReplyMeta(outcome)
    meta.attempt = job.attempt
    meta.isDuplicate = isDuplicate
    answerAskers(of: job, outcome.status, outcome.body, meta)
  }

  /// Answers everybody who waits for `job` with the result that is recorded for its id.
  func finish(_ job: Job, _ recorded: RecordedResult) {
    guard recorded.digest == job.digest else {
      job.outcome = JobOutcome(.conflict, message: "this job id was used with other content")
      return finish(job)
    }
    metrics.duplicate()
    answerAskers(of: job, recorded.status, recorded.body, meta(of: recorded))
  }

  private func answerAskers(of job: Job, _ status: Status, _ body: [UInt8], _ meta: ReplyMeta) {
    leave(job)
    if job === runningSuspect {
      runningSuspect = nil
      startNextSuspect()
    }
    var meta = meta
    if let trace = job.trace {
      meta.traceparent = trace.traceparent
      trace.end(status, meta)
    }
    // The credit goes back with the first reply that leaves; the others hold references to the same body.
    var share: Credit.Share? = job.credit
    let now = Monotonic.now
    for asker in job.askers {
      reply(
        asker,
        Reply(
          envelope: asker.envelope, id: asker.id, status: status, body: body, meta: meta, credit: share,
          since: now))
      share = nil
      meta.isDuplicate = true
    }
    if let share { credit.giveBack(share) }
  }

  /// Forgets a job without answering: it stays in the journal.
  func forget(_ job: Job) {
    job.trace?.abandon()
    leave(job)
    credit.giveBack(job.credit)
  }

  private func leave(_ job: Job) {
    polling.answered(at: .now)
    tenants.release(job.key.tenant)
    switch job.work {
    case .call: calls[job.key] = nil
    case .putCap(let claim?):
      let key = PutKey(tenant: job.key.tenant, hash: claim)
      if puts[key] === job { puts[key] = nil } else { anonymousPuts -= 1 }
    case .putCap(nil): anonymousPuts -= 1
    }
  }

  /// Answers a message that is no job of its own.
  /// - Parameter verb: what it is to be counted as; nil if it is counted already.
  func reply(to asker: Asker, _ outcome: JobOutcome, as verb: Verb? = nil) {
    if let verb { metrics.answered(verb, outcome.status) }
    reply(to: asker, outcome.status, outcome.body, ReplyMeta(outcome))
  }

  func reply(to asker: Asker, _ recorded: RecordedResult, as verb: Verb) {
    metrics.answered(verb, .ok)
    reply(to: asker, recorded.status, recorded.body, meta(of: recorded))
  }

  private func reply(to asker: Asker, _ status: Status, _ body: [UInt8], _ meta: ReplyMeta) {
    reply(
      asker,
      Reply(
        envelope: asker.envelope, id: asker.id, status: status, body: body, meta: meta, credit: nil,
        since: .now))
  }

  private func reply(_ asker: Asker, _ reply: Reply) {
    let door = parts.doors[asker.door]
    guard door.kind == .pipeline || asker.opening == door.opening else {
      // Its connection has gone with the socket.
      settle(reply)
      return metrics.undeliverable()
    }
    send(reply, through: door)
  }

  /// What is in the store was computed by somebody, some time.
  private func meta(of recorded: RecordedResult) -> ReplyMeta {
    var meta = ReplyMeta()
    meta.worker = (try? parts.reader.workerName(recorded.worker)) ?? ""
    meta.engine = recorded.engine
    meta.sandbox = recorded.sandbox
    meta.attempt = recorded.attempt
    meta.isDuplicate = true
    meta.queuedMicroseconds = recorded.queuedMicroseconds
    meta.runMicroseconds = recorded.runMicroseconds
    meta.guestStatus = recorded.guestStatus
    return meta
  }

  // MARK: Sockets

  private func send(_ reply: Reply, through door: Door) {
    // A pipeline has one queue: what is sent past a waiting reply would only wait as well.
    if door.kind == .pipeline, !door.unsent.isEmpty { return keep(reply, door) }
    do throws(ZMQError) {
      if try door.send(reply, with: &sender) {
        metrics.sent(bytes: reply.body.count)
        settle(reply)
      } else {
        keep(reply, door)
      }
      WorkerFailpoint.pass(.replied)
    } catch {
      drop(reply, error)
    }
  }

  /// Keeps a reply until the socket takes it. A pipeline's replies hold their credit meanwhile, which in the end stops the intake; a
  /// direct peer that does not read must not do that to the others, so its replies are bounded by themselves.
  private func keep(_ reply: Reply, _ door: Door) {
    var reply = reply
    if door.kind == .direct {
      settle(reply)
      reply.credit = nil
      guard door.unsent.count < limits.unsentReplies, door.unsentBytes < limits.unsentBytes else {
        return metrics.undeliverable()
      }
    }
    door.unsentBytes += reply.body.count
    door.unsent.append(reply)
  }

  /// Sends what had to wait.
  func flushUnsent() throws(ZMQError) {
    for door in parts.doors where !door.unsent.isEmpty {
      // Everything once: on a ROUTER one peer's full pipe says nothing about another's.
      for _ in 0..<door.unsent.count {
        let reply = door.unsent.removeFirst()
        do throws(ZMQError) {
          if try door.send(reply, with: &sender) {
            door.unsentBytes -= reply.body.count
            metrics.sent(bytes: reply.body.count)
            settle(reply)
          } else if door.kind == .pipeline {
            door.unsent.prepend(reply)
            break
          } else {
            door.unsent.append(reply)
          }
        } catch {
          door.unsentBytes -= reply.body.count
          drop(reply, error)
        }
      }
    }
  }

  /// Gives up on direct peers that have not read their replies for too long; the results stay in the store.
  func dropStaleReplies(_ now: Monotonic) {
    for door in parts.doors where door.kind == .direct {
      while let oldest = door.unsent.first, now >= oldest.since + Milliseconds(limits.unsentMilliseconds) {
        door.unsent.removeFirst()
        door.unsentBytes -= oldest.body.count
        metrics.undeliverable()
      }
    }
  }

  private func drop(_ reply: Reply, _ error: ZMQError) {
    settle(reply)
    metrics.undeliverable()
    // Peers come and go; anything else is worth a look.
    let level: Logger.Level = error.code == .hostUnreachable ? .debug : .warning
    parts.logger.log(level: level, "a reply could not be delivered", metadata: ["error": "\(error)"])
  }

  /// Forgets replies whose connections are gone.
  func dropUnsent(_ door: Door) {
    for reply in door.unsent {
      settle(reply)
      metrics.undeliverable()
    }
    door.unsent.removeAll()
    door.unsentBytes = 0
  }

  private func settle(_ reply: Reply) {
    if let share = reply.credit { credit.giveBack(share) }
  }
}

extension ReplyMeta {
  init(_ outcome: JobOutcome) {
    sandbox = outcome.sandbox
    queuedMicroseconds = outcome.queuedMicroseconds
    runMicroseconds = outcome.runMicroseconds
    guestStatus = outcome.guestStatus
    retryAfterMilliseconds = outcome.retryAfterMilliseconds
    missingReferences = outcome.missingReferences
  }
}
