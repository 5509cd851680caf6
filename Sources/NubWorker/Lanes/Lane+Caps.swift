internal import Logging
internal import NubCap

extension Lane {
  /// Executes a `put_cap`: the host checks and hashes, the sandbox decodes, hashes and files; both and the claim must agree.
  func put(_ job: Job) {
    guard case .putCap(let claim) = job.work, isToDo(job, claim: claim) else { return }
    job.attempt += 1
    job.started = .now
    let start = Monotonic.now
    var outcome: JobOutcome
    do throws(RequestError) {
      let cap = try file(job.body, claim: claim)
      job.standing?.hold?.note(cap.hash)
      job.filedCaps.append(FiledCap(cap: cap, source: .body))
      caps.note(cap.hash, references: cap.references, tenant: job.tenantName)
      outcome = JobOutcome(.ok, cap.hash.bytes)
    } catch {
      if error.status == .guestFault, tryAgainAlone(job, error.message) { return }
      outcome = refusal(error)
    }
    outcome.sandbox = engine?.sandboxID ?? 0
    outcome.runMicroseconds = Monotonic.now.microseconds(since: start)
    end(job, outcome)
  }

  /// Files the caps that came with a call, and makes sure that those its options name are in the directory.
  ///
  /// - Returns: how the job ends if that is not possible; nil if it may run.
  func supplyCaps(of job: Job, to engine: any LaneEngine) -> JobOutcome? {
    // An earlier start may have come this far.
    job.filedCaps.removeAll(keepingCapacity: true)
    do throws(RequestError) {
      for (index, attached) in job.attachedCaps.enumerated() {
        let cap = try file(attached.wire, claim: nil)
        job.filedCaps.append(FiledCap(cap: cap, source: .attached(index)))
        caps.note(cap.hash, references: cap.references, tenant: job.tenantName)
      }
      let missing = try hydrate(job.options.caps, tenant: job.tenantName, engine)
      if !missing.isEmpty { return JobOutcome(.capMissing, missing.flatMap(\.bytes)) }
      caps.noteUse(of: job.options.caps)
      return nil
    } catch {
      job.filedCaps.removeAll()
      return refusal(error)
    }
  }

  private func refusal(_ error: RequestError) -> JobOutcome {
    var outcome = JobOutcome(error.status, message: error.message)
    if error.status == .unavailable { outcome.retryAfterMilliseconds = limits.retryAfterMilliseconds }
    return outcome
  }

  /// Gives back a job whose cap broke the sandbox, to run once more, alone, in a fresh one: earlier jobs may have damaged this one.
  ///
  /// - Returns: false if that was its second chance.
  func tryAgainAlone(_ job: Job, _ fault: String) -> Bool {
    // A guest that answers what is wrong is no better than one that faults.
    discardEngine()
    guard !job.isSuspect else { return false }
    job.isSuspect = true
    logger.debug(
      "a put faulted and is tried again alone", metadata: ["id": "\(job.key.id)", "fault": "\(fault)"])
    queue.giveBack([job])
    return true
  }

  /// Checks a cap on the host and files it in the sandbox's directory, unless it is there already.
  private func file(_ wire: UnsafeRawBufferPointer, claim: CapHash?) throws(RequestError) -> CheckedCap {
    let cap: CheckedCap
    do throws(CapError) {
      cap = try CheckedCap(wire)
    } catch {
      throw RequestError(.capInvalid, "not a valid cap: \(error)")
    }
    if let claim, claim != cap.hash {
      throw RequestError(.hashMismatch, "the claim is \(claim.hex), the hash is \(cap.hash.hex)")
    }
    guard let engine else { throw RequestError(.unavailable, "no sandbox") }
    if engine.holds(cap.hash) { return cap }
    try put(wire, cap.hash, engine)
    return cap
  }

  /// Puts caps that the store has into the directory.
  ///
  /// - Returns: those that nobody has, or this tenant may not see.
  private func hydrate(
    _ hashes: [CapHash], tenant: ShortBytes, _ engine: any LaneEngine
  ) throws(RequestError) -> [CapHash] {
    var missing: [CapHash] = []
    for hash in hashes where !engine.holds(hash) {
      guard let wire = try caps.wire(of: hash, tenant: tenant) else {
        missing.append(hash)
        continue
      }
      // Data refers to nothing.
      if wire.first != CapKind.data.rawValue, let view = try? CapView(validating: wire.span.bytes) {
        caps.note(hash, references: view.references, tenant: tenant)
      }
      try wire.withUnsafeBufferPointer { (bytes) throws(RequestError) in
        try put(UnsafeRawBufferPointer(bytes), hash, engine)
      }
    }
    return missing
  }

  private func put(_ wire: UnsafeRawBufferPointer, _ hash: CapHash, _ engine: any LaneEngine)
    throws(RequestError)
  {
    let guestHash: CapHash
    do throws(EngineError) {
      guestHash = try engine.put(wire)
    } catch {
      switch error.code {
      // The host has decoded it, so it is the guest that is wrong.
      case .capRefused, .fault:
        throw RequestError(.guestFault, "the sandbox could not file the cap: \(error.message)")
      case .tooLarge: throw RequestError(.tooLarge, error.message)
      case .unavailable: throw RequestError(.unavailable, error.message)
      }
    }
    guard guestHash == hash else {
      throw RequestError(.guestFault, "the sandbox computed \(guestHash.hex) for the cap \(hash.hex)")
    }
  }
}
