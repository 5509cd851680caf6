import CNubABI
import NubABI

/// One entry of the guest: from the request area being full to every result being out, or to the failure that ended it.
struct EntryState {
  var results: ResultReader
  /// Why the entry must end.
  var error: MachineError?
  var isDone = false
  /// When the call that is running now was first seen running, and which call that was.
  var callSeen: UInt64 = 0
  var callSeenIndex = 0
  var clock = RunClock(at: monotonicNanoseconds())

  init(results: ResultReader) { self.results = results }

  /// Results that have been read and handed on.
  var delivered: Int { results.count }

  /// The host sees which call runs. Where that is another one than at the last look, it began some time since, and gets
  /// the benefit of the doubt.
  mutating func noteRunningCall(at now: UInt64) {
    guard delivered != callSeenIndex || callSeen == 0 else { return }
    callSeen = now
    callSeenIndex = delivered
  }
}

extension Sandbox {
  typealias Deliver = (Int, consuming CallOutcome, UInt32) -> Void

  /// How an entry ended.
  struct EntryEnd {
    /// The calls that have got their outcome.
    var delivered: Int
    var error: MachineError?
    /// How long the call behind the delivered ones ran before `error`.
    var microseconds: UInt32 = 0
  }

  /// Lets the guest work through the request area.
  mutating func enter(
    _ calls: UnsafeBufferPointer<GuestCall>, from first: Int, count: Int, _ deliver: Deliver
  ) -> EntryEnd {
    sequence = sequence == .max ? 1 : sequence + 1
    unsafe areas.host.pointee.sequence = sequence
    unsafe areas.host.pointee.drained = 0
    var state = EntryState(
      results: ResultReader(calls: count, maximumLength: template.configuration.maximumResult))
    _ = handle.begin()
    let batch = unsafe Batch(calls: calls, first: first, count: count)
    template.spans.entry(sandbox: id, function: unsafe calls[first].function, count: count) {
      switch body {
      case .machine: runMachine(batch, &state, deliver)
      case .inProcess(let guest): runInProcess(guest, batch, &state, deliver)
      }
      return state.error
    }
    let running = state.clock.running(at: monotonicNanoseconds())
    handle.end()
    handle.refuseDumpRequests()
    log.drain(areas, sandbox: id, to: template.logger)
    releaseLargeAreas(resultHighWater: state.results.highWater)
    if state.error == nil, !state.isDone { state.error = cancellation }
    if let error = state.error {
      recordCrash(error)
      if template.metrics.isEnabled { template.metrics.failure(error.code, nanoseconds: running) }
    }
    return EntryEnd(
      delivered: state.delivered, error: state.error, microseconds: UInt32(clamping: running / 1_000))
  }

  /// The calls of one entry, and where they stand in the caller's list.
  @safe struct Batch {
    // Safe to hold: it lives inside ``enter(_:from:count:_:)``, and the caller keeps the calls until that returns.
    let calls: UnsafeBufferPointer<GuestCall>
    let first: Int
    let count: Int

    /// The deadline of the entry's call `index`, nanoseconds.
    func deadline(_ index: Int) -> UInt64? {
      guard index < count, let deadline = unsafe calls[first + index].deadline else { return nil }
      return deadline.nanoseconds
    }
  }

  /// How often a batch's progress is looked at.
  private static var tickNanoseconds: UInt64 { 10_000_000 }
  /// How long a guest may take from being seen with its last result published to ringing the doorbell. An honest one
  /// needs some instructions; the rest is for a host that is busy.
  private static var finishNanoseconds: UInt64 { 250_000_000 }

  private mutating func runMachine(_ batch: Batch, _ state: inout EntryState, _ deliver: Deliver) {
    guard case .machine(let machine) = body else { return }
    // Timing point 2 begins: from here on a signal sets immediate_exit of this vCPU.
    machine.arm()
    defer { machine.disarm() }
    debugTarget?.willUse()
    defer { debugTarget?.didUse() }
    scheduleLook(batch, &state, now: nil)
    while true {
      let asked = handle.current()
      if asked.has(.cancel) {
        collect(batch, &state, deliver)
        guard state.error == nil, state.delivered == batch.count else {
          state.error = state.error ?? cancellation
          return
        }
        // The last result was out before the kill: the batch has ended by itself, and what is finished does not become
        // an error. The guest goes on to its doorbell, for which it has as long as any other guest.
        handle.clearRequests()
        look(batch, &state, deliver)
        if state.error != nil { return }
      }
      if asked.has(.tick) {
        handle.clearTick()
        serveDumpRequests(&state)
        if let debugTarget, debugTarget.stopIsWanted {
          state.error = outcome(debugTarget.interrupted(), &state)
        }
        look(batch, &state, deliver)
        if state.error != nil { return }
      }
      switch machine.enter() {
      case .interrupted: continue
      case .doorbell:
        answerDoorbell(copyReason(), batch, &state, deliver)
        if state.error != nil || state.isDone { return }
      case .exception(let vector):
        if let debugTarget {
          guard let judged = debugTarget.excepted(vector) else {
            state.callSeen = monotonicNanoseconds()
            continue
          }
          state.error = outcome(judged, &state)
        }
        collect(batch, &state, deliver)
        if state.error == nil { state.error = fault(machine.exception(vector: vector), vector: vector) }
        return
      case .unexpected(let what):
        collect(batch, &state, deliver)
        if state.error == nil {
          state.error = MachineError(
            .protocolViolation, "the guest left the VM in a way it must not: \(what)")
        }
        return
      }
    }
  }

  /// In this process nothing can be stopped: a call that was late is found late when it has ended.
  private mutating func runInProcess(
    _ guest: InProcessGuest, _ batch: Batch, _ state: inout EntryState, _ deliver: Deliver
  ) {
    let deadline = batch.deadline(0)
    let began = deadline == nil ? 0 : monotonicNanoseconds()
    state.callSeen = began
    let lateError = lateness(deadline ?? 0)
    withoutActuallyEscaping(deliver) { deliver in
      let judge: Deliver = { index, outcome, microseconds in
        guard let deadline, monotonicNanoseconds() &- began >= deadline else {
          return deliver(index, outcome, microseconds)
        }
        deliver(index, .failed(lateError), microseconds)
      }
      unsafe withUnsafeMutablePointer(to: &self) { sandbox in
        unsafe withUnsafeMutablePointer(to: &state) { state in
          // Both pointers are used only while runBatch runs, on this thread.
          guest.runBatch { reason in
            guard unsafe state.pointee.error == nil else { return }
            unsafe sandbox.pointee.answerDoorbell(reason, batch, &state.pointee, judge)
          }
        }
      }
    }
  }

  private func copyReason() -> UInt32 { unsafe areas.control.pointee.reason }

  /// Does what a doorbell asks for; sets `state.error` or `state.isDone` where the guest is not to be entered again.
  mutating func answerDoorbell(
    _ reason: UInt32, _ batch: Batch, _ state: inout EntryState, _ deliver: Deliver
  ) {
    collect(batch, &state, deliver)
    guard state.error == nil else { return }
    // The guest rings when it is done with what it had to write, so its log may be emptied; a call that makes many host
    // calls loses no records.
    log.drain(areas, sandbox: id, to: template.logger)
    switch reason {
    case NUB_DOORBELL_BATCH_DONE:
      guard state.delivered == batch.count else {
        state.error = MachineError(
          .protocolViolation,
          "the guest says it is done with \(state.delivered) of \(batch.count) results published")
        return
      }
      state.isDone = true
    case NUB_DOORBELL_DRAIN:
      do throws(MachineError) {
        try state.results.drain()
      } catch {
        state.error = error
        return
      }
      unsafe areas.host.pointee.drained = UInt32(state.delivered)
    case NUB_DOORBELL_HOST_CALL:
      answerHostCall(batch, &state)
    case NUB_DOORBELL_ABORT:
      state.error = abort()
    default:
      state.error = MachineError(
        .protocolViolation, "the guest rang the doorbell for the unknown reason \(reason)")
    }
  }

  /// Reads the results that the guest has published since the last look.
  private mutating func collect(_ batch: Batch, _ state: inout EntryState, _ deliver: Deliver) {
    // What an earlier batch left there counts for nothing.
    guard unsafe areas.control.pointee.sequence == sequence else { return }
    let published = unsafe areas.control.pointee.published
    let tscKilohertz = unsafe areas.host.pointee.tsc_khz
    let isMeasured = template.metrics.isEnabled
    if state.delivered < Int(published) { state.clock.look(at: monotonicNanoseconds()) }
    do throws(MachineError) {
      while let entry = unsafe try state.results.next(in: areas.result, published: published) {
        let header = entry.header
        let bytes = unsafe [UInt8](areas.result[entry.bytes])
        let nanoseconds = state.clock.charge(
          cycles: header.cycles, tscKilohertz: tscKilohertz, isLast: state.delivered == Int(published))
        if isMeasured { template.metrics.call(status: header.status, nanoseconds: nanoseconds) }
        deliver(
          batch.first + state.delivered - 1,
          header.status == 0 ? .returned(bytes) : .guestError(status: header.status, detail: bytes),
          UInt32(clamping: nanoseconds / 1_000))
      }
    } catch {
      state.error = error
    }
  }

  // MARK: Deadlines

  /// Plans when the timer should look at this entry next.
  private func scheduleLook(_ batch: Batch, _ state: inout EntryState, now: UInt64?) {
    let deadline = batch.deadline(state.delivered)
    guard deadline != nil || batch.count > 1 || state.delivered == batch.count else { return }
    let now = now ?? monotonicNanoseconds()
    if state.callSeen == 0 { state.callSeen = now }
    var time = UInt64.max
    if let deadline {
      let (sum, overflow) = state.callSeen.addingReportingOverflow(deadline)
      if !overflow { time = sum }
    }
    if batch.count > 1 || state.delivered == batch.count { time = min(time, now + Sandbox.tickNanoseconds) }
    DeadlineTimer.shared.schedule(handle, at: time)
  }

  /// The timer has interrupted the guest: hand on what is published, and judge the call that is running.
  private mutating func look(_ batch: Batch, _ state: inout EntryState, _ deliver: Deliver) {
    collect(batch, &state, deliver)
    guard state.error == nil else { return }
    let now = monotonicNanoseconds()
    state.noteRunningCall(at: now)
    let running = now &- state.callSeen
    if let deadline = batch.deadline(state.delivered), running >= deadline {
      state.error = lateness(deadline)
      return
    }
    if state.delivered == batch.count, running >= Sandbox.finishNanoseconds {
      state.error = MachineError(
        .protocolViolation, "the guest published every result and did not ring the doorbell")
      return
    }
    scheduleLook(batch, &state, now: now)
  }

  // MARK: Ends

  private var cancellation: MachineError { MachineError(.cancelled, "the call was interrupted") }

  func lateness(_ deadline: UInt64) -> MachineError {
    MachineError(
      .deadlineExceeded, "the call ran longer than its deadline of \(deadline / 1_000_000) ms")
  }

  private func fault(_ exception: ProcessorException?, vector: Int) -> MachineError {
    guard var exception else {
      return MachineError(.protocolViolation, "exception \(vector) was reported without a readable frame")
    }
    if case .machine(let machine) = body { exception.backtrace = machine.backtrace(exception.registers) }
    return MachineError(.fault(exception), "the guest faulted: \(exception)")
  }

  private func abort() -> MachineError {
    let code = unsafe areas.control.pointee.abort_code
    let length = unsafe min(Int(areas.control.pointee.abort_length), Int(NUB_ABORT_MESSAGE_MAX))
    let text = unsafe withUnsafeBytes(of: &areas.control.pointee.abort_message) { bytes in
      unsafe GuestText.plain(UnsafeRawBufferPointer(rebasing: bytes.prefix(length)))
    }
    unsafe areas.control.pointee.abort_length = 0
    return MachineError(.abort(code: code), "the guest aborted with code \(code): \(text)")
  }

  /// Gives back what a large message made resident, so that one of 16 MiB does not stay in every sandbox for good.
  private mutating func releaseLargeAreas(resultHighWater: Int) {
    let keep = 1 << 20
    // Between batches nothing of the guest's lies in the result area.
    if resultHighWater > keep {
      unsafe discardPages(UnsafeMutableRawBufferPointer(rebasing: areas.result[keep...]))
    }
    guard requestHighWater > keep || responseHighWater > keep else { return }
    if requestHighWater > keep {
      unsafe discardPages(UnsafeMutableRawBufferPointer(rebasing: areas.request[keep...]))
    }
    if responseHighWater > keep {
      unsafe discardPages(UnsafeMutableRawBufferPointer(rebasing: areas.response[keep...]))
    }
    requestHighWater = min(requestHighWater, keep)
    responseHighWater = min(responseHighWater, keep)
  }
}

extension Duration {
  /// Whole nanoseconds, at least 0 and at most what fits.
  var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    return overflow || carry ? .max : sum
  }
}
