internal import Logging
internal import NubStore
internal import Synchronization

/// Cancels that were sent to one worker of a store and are meant for another.
///
/// Who asks learns what became of it: `ok` once the job has a result, be it `cancelled` or one that came first; `not_found` if nobody
/// has reported one in time.
struct PendingCancels {
  struct Wait {
    var asker: Asker
    var deadline: Monotonic
  }

  /// Who asks, by what is to be cancelled.
  var waiting: [FiledCancel: [Wait]] = [:]
  var count = 0
  /// Where to read on in the store's list; nil before the first look.
  var cursor: CancelCursor?

  /// Each of them costs a durable row, so producers that cancel at random get no more than these.
  static let maximum = 1_024
  /// How long other workers have: they look as often as they keep house.
  static let milliseconds = 1_500
}

extension FrontDesk {
  func cancelElsewhere(_ cancel: FiledCancel, _ asker: Asker) {
    guard phase == .serving, cancels.count < PendingCancels.maximum, parts.store.refusal == nil else {
      return reply(to: asker, JobOutcome(.notFound, message: "no such job"), as: .cancel)
    }
    if cancels.waiting[cancel] == nil { parts.committer.submit(cancel: cancel) }
    cancels.waiting[cancel, default: []].append(
      PendingCancels.Wait(asker: asker, deadline: .now + Milliseconds(PendingCancels.milliseconds)))
    cancels.count += 1
  }

  /// Ends the jobs here that were cancelled at another worker, and answers those whose cancels have had an effect, or none.
  func followCancels(_ now: Monotonic) {
    do throws(StoreError) {
      try readCancels()
      if cancels.count > 0 { try answerCancels(now) }
    } catch {
      // The next look comes soon; who waits has a deadline.
      parts.logger.debug("cannot read the cancels", metadata: ["error": "\(error)"])
    }
  }

  /// Ends what runs here although another worker on the store has its result: somebody sent it to both. The first result
  /// is everybody's, so whoever asked here gets it, and the lane is free again.
  func endWhatIsDecided(_ now: Monotonic) {
    guard now >= nextLookAtDecided else { return }
    nextLookAtDecided = now + Milliseconds(1_000)
    let running = parts.lanes.jobs(runningFor: Milliseconds(1_000), at: now)
    guard !running.isEmpty else { return }
    var decided: [Job] = []
    do throws(StoreError) {
      try parts.reader.snapshot { () throws(StoreError) in
        for job in running {
          guard case .call = job.work, !job.isCancelled.load(ordering: .relaxed) else { continue }
          let isDecided = try job.key.id.withUnsafeBytes { (id) throws(StoreError) in
            try parts.reader.result(of: id, tenant: job.tenantName) != nil
          }
          if isDecided { decided.append(job) }
        }
      }
    } catch {
      parts.logger.debug("cannot look for results of running jobs", metadata: ["error": "\(error)"])
    }
    for job in decided { cancel(job) }
  }

  private func readCancels() throws(StoreError) {
    var wanted: [[UInt8]: [TenantID]] = [:]
    let isFirst = cancels.cursor == nil
    cancels.cursor = try parts.reader.cancels(after: cancels.cursor ?? .start) { tenant, id in
      // What was cancelled before this worker was there is not for the jobs that it gets.
      if !isFirst { wanted[[UInt8](id), default: []].append(tenant) }
    }
    guard !wanted.isEmpty, !calls.isEmpty else { return }
    var found: [Job] = []
    try parts.reader.snapshot { () throws(StoreError) in
      for job in calls.values {
        guard let tenants = wanted[[UInt8](job.id)], let tenant = try parts.reader.tenant(job.tenantName),
          tenants.contains(tenant)
        else { continue }
        found.append(job)
      }
    }
    for job in found { cancel(job) }
  }

  private func answerCancels(_ now: Monotonic) throws(StoreError) {
    var finished: [FiledCancel] = []
    try parts.reader.snapshot { () throws(StoreError) in
      for cancel in cancels.waiting.keys {
        let isFinished = try cancel.id.withUnsafeBytes { (id) throws(StoreError) in
          try parts.reader.result(of: id, tenant: cancel.tenant) != nil
        }
        if isFinished { finished.append(cancel) }
      }
    }
    for cancel in finished {
      for wait in cancels.waiting.removeValue(forKey: cancel) ?? [] {
        cancels.count -= 1
        reply(to: wait.asker, JobOutcome(.ok), as: .cancel)
      }
    }
    for (cancel, waits) in cancels.waiting {
      let rest = waits.filter { $0.deadline > now }
      guard rest.count < waits.count else { continue }
      cancels.count -= waits.count - rest.count
      cancels.waiting[cancel] = rest.isEmpty ? nil : rest
      for wait in waits where wait.deadline <= now {
        reply(to: wait.asker, JobOutcome(.notFound, message: "no such job"), as: .cancel)
      }
    }
  }
}
