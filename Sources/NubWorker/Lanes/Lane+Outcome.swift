internal import Logging
internal import NubCap
internal import Synchronization

extension Lane {
  /// Ends `job`; it goes to the committer with the next batch.
  func end(_ job: Job, _ outcome: consuming JobOutcome) {
    var outcome = outcome
    if let started = job.started { outcome.queuedMicroseconds = started.microseconds(since: job.accepted) }
    job.outcome = outcome
    keep(job)
  }

  /// Decides what becomes of a job whose call came back.
  func conclude(
    _ job: Job, _ result: consuming EngineResult, microseconds: UInt32, sandbox: UInt64, wasAlone: Bool
  ) {
    var outcome: JobOutcome
    switch result {
    case .returned(let bytes):
      outcome = JobOutcome(.ok, bytes)
    case .guestError(let status, let message):
      outcome = JobOutcome(.guestError, message: message)
      outcome.guestStatus = status
    case .unknownFunction:
      let name = if case .call(let function) = job.work { "\(function)" } else { "with this id" }
      outcome = JobOutcome(
        .unknownFunction, message: "the guest has no function \(name); `ping` lists those it has")
    case .capsMissing(let hashes):
      outcome = JobOutcome(.capMissing, caps.holes(hashes, of: job).flatMap(\.bytes))
    case .tooLarge(let message):
      outcome = JobOutcome(.tooLarge, message: message)
    case .fault(let message):
      // Earlier jobs may have damaged a used sandbox, so a fault counts only if the job had a fresh one to itself.
      guard wasAlone, job.isSuspect else {
        job.isSuspect = true
        logger.debug(
          "a job faulted and is tried again alone", metadata: ["id": "\(job.key.id)", "fault": "\(message)"])
        queue.giveBack([job])
        return
      }
      outcome = JobOutcome(.guestFault, message: message)
    case .deadlineExceeded:
      outcome = JobOutcome(.deadlineExceeded, message: "ran longer than its deadline")
    case .cancelled:
      guard job.isCancelled.load(ordering: .relaxed) else {
        queue.giveBack([job])
        return
      }
      outcome = JobOutcome(.cancelled, message: "cancelled while it ran")
    case .unavailable(let message):
      outcome = unavailable(message)
    case .notRun:
      queue.giveBack([job])
      return
    }
    outcome.sandbox = sandbox
    outcome.runMicroseconds = UInt64(microseconds)
    end(job, outcome)
  }

  /// Says whether sandboxes can be made. Most calls change nothing, and take no lock.
  func noteSandboxes(problem: String?) {
    if problem != nil || hasSandboxProblem { health.update { $0.sandboxProblem = problem } }
    hasSandboxProblem = problem != nil
  }

  private func unavailable(_ message: String) -> JobOutcome {
    var outcome = JobOutcome(.unavailable, message: message)
    outcome.retryAfterMilliseconds = limits.retryAfterMilliseconds
    return outcome
  }
}
