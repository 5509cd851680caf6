internal import NubCap
internal import NubStore
internal import Synchronization

/// The verbs that are answered on the spot.
extension FrontDesk {
  func answer(_ request: JobRequest, _ frames: FrameList, _ door: Door) {
    let asker = Asker(door, Envelope(frames, count: request.start), request.id)
    let tenant = request.options.tenant
    do throws(StoreError) {
      switch request.action {
      case .ping:
        reply(to: asker, JobOutcome(.ok, identity.pingBody), as: .ping)
      case .findMissing:
        findMissing(frames[request.bodyFrame], tenant, asker)
      case .getCap(let hash):
        var outcome = JobOutcome(.notFound, message: "no such cap")
        try parts.reader.snapshot { () throws(StoreError) in
          if let wire = try parts.reader.wire(of: hash, tenant: tenant) { outcome = JobOutcome(.ok, wire) }
        }
        if outcome.status == .ok { uses.append(NotedUse(hash: hash)) }
        reply(to: asker, outcome, as: .getCap)
      case .getResult(let id):
        try getResult(id, tenant, asker)
      case .cancel(let id):
        try cancel(id, tenant, asker)
      case .call, .putCap:
        // These are jobs, see `accept`.
        break
      }
    } catch {
      reply(to: asker, JobOutcome(storeFailure: error), as: request.verb)
    }
  }

  private func getResult(_ id: ShortBytes, _ tenant: ShortBytes, _ asker: Asker) throws(StoreError) {
    var recorded: RecordedResult?
    try parts.reader.snapshot { () throws(StoreError) in
      recorded = try id.withUnsafeBytes { (id) throws(StoreError) in
        try parts.reader.result(of: id, tenant: tenant)
      }
    }
    if let recorded {
      reply(to: asker, recorded, as: .getResult)
    } else if calls[JobKey(tenant: tenants.slot(for: tenant), id: id)] != nil {
      reply(to: asker, unavailable("the job has not finished"), as: .getResult)
    } else {
      reply(to: asker, JobOutcome(.notFound, message: "no such job"), as: .getResult)
    }
  }

  private func cancel(_ id: ShortBytes, _ tenant: ShortBytes, _ asker: Asker) throws(StoreError) {
    guard let job = calls[JobKey(tenant: tenants.slot(for: tenant), id: id)] else {
      var isFinished = false
      try parts.reader.snapshot { () throws(StoreError) in
        isFinished = try id.withUnsafeBytes { (id) throws(StoreError) in
          try parts.reader.result(of: id, tenant: tenant) != nil
        }
      }
      // Too late to change anything is not an error: the job will not run any more.
      if isFinished { return reply(to: asker, JobOutcome(.ok), as: .cancel) }
      // Another worker on this store may have it.
      return cancelElsewhere(FiledCancel(tenant: tenant, id: id), asker)
    }
    cancel(job)
    reply(to: asker, JobOutcome(.ok), as: .cancel)
  }

  /// Ends a job that is here: at once if it waits, else by interrupting the sandbox that has it.
  func cancel(_ job: Job) {
    job.isCancelled.store(true, ordering: .relaxed)
    if parts.queue.remove(job) {
      job.outcome = JobOutcome(.cancelled, message: "cancelled before it started")
      parts.committer.submit(finished: [job])
    } else {
      parts.lanes.interrupt(job)
    }
  }
}
