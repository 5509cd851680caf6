import Foundation
import Logging
import Synchronization

/// What a noncopyable sandbox needs to be put into arrays: a place that it is moved into once and out of once.
final class SandboxBox: @unchecked Sendable {
  // Sendable: a box is in exactly one place of the pool's state, which is behind a lock, or with the one thread that
  // took it out of there.
  private var sandbox: Sandbox?
  let id: UInt64

  init(_ sandbox: consuming Sandbox) {
    id = sandbox.id
    self.sandbox = consume sandbox
  }

  func open() -> Sandbox? { sandbox.take() }
}

/// The pool without its handle: the maintainer's thread keeps this alive, not the pool.
final class PoolCore: Sendable {
  private struct State {
    var places: PoolState<SandboxBox>
    var created: UInt64 = 0
    var restored: UInt64 = 0
    var replaced: UInt64 = 0
    var failures: UInt64 = 0
    var lastFailure: MachineError?
  }

  private let template: SandboxTemplate
  private let logger: Logger
  private let state: Mutex<State>
  /// For the maintainer: there is something to do.
  private let bell = Bell()
  /// For callers: there may be a sandbox.
  private let news = Bell()
  private let ended = Bell()
  private let hasEnded = Atomic<Bool>(false)

  init(template: SandboxTemplate, warm: Int, reclaim: Int?, maximum: Int, logger: Logger) {
    self.template = template
    self.logger = logger
    state = Mutex(State(places: PoolState(warmTarget: warm, reclaimTarget: reclaim, maximum: maximum)))
  }

  func start() {
    let thread = Thread { [self] in
      maintain()
      hasEnded.store(true, ordering: .releasing)
      ended.ringAll()
    }
    thread.name = "nub-pool"
    thread.stackSize = 512 << 10
    thread.start()
  }

  var statistics: SandboxPool.Statistics {
    state.withLock { state in
      SandboxPool.Statistics(
        warm: state.places.warm.count, idle: state.places.idle.count, taken: state.places.taken,
        pending: state.places.pending, created: state.created, restored: state.restored,
        replaced: state.replaced, failures: state.failures, lastFailure: state.lastFailure)
    }
  }

  // MARK: Callers

  func take(tenant: Int64, fresh: Bool, preferring id: UInt64) throws(MachineError) -> Sandbox {
    while true {
      // Taken before the look, so that what happens between the look and the wait is not missed.
      let ticket = news.ticket()
      let (grant, hasChores, refusal) = look(tenant, fresh, id)
      if hasChores { bell.ring() }
      switch grant {
      case .ready(let box):
        if var sandbox = box.open() {
          sandbox.standing = .inService
          return sandbox
        }
      case .restoring(let box):
        if let sandbox = restored(box) {
          state.withLock { $0.places.granted() }
          return sandbox
        }
        if let sandbox = makeForCaller() { return sandbox }
      case .making:
        if let sandbox = makeForCaller() { return sandbox }
      case .pending: news.wait(ticket, until: .max)
      case .failing, .exhausted: throw refusal
      }
    }
  }

  private func look(
    _ tenant: Int64, _ fresh: Bool, _ id: UInt64
  ) -> (PoolState<SandboxBox>.Grant, hasChores: Bool, refusal: MachineError) {
    state.withLock { state in
      guard !state.places.isClosed else {
        return (.exhausted, false, MachineError(.system(errno: ESHUTDOWN), "the pool is closed"))
      }
      // The clock is for those who wait out failures.
      let now = state.places.retryAt == 0 ? 0 : monotonicNanoseconds()
      let grant = state.places.take(tenant: tenant, fresh: fresh, now: now) { id != 0 && $0.id == id }
      let busy = MachineError(
        .system(errno: EAGAIN), "all sandboxes are in use; allow more, or run fewer lanes")
      guard case .failing = grant else { return (grant, state.places.hasChores, busy) }
      return (grant, state.places.hasChores, state.lastFailure ?? busy)
    }
  }

  /// Makes the sandbox that a grant has reserved a place for; nil where that failed.
  private func makeForCaller() -> Sandbox? {
    guard let sandbox = make() else { return nil }
    state.withLock { state in
      state.places.granted()
      state.created += 1
      state.lastFailure = nil
    }
    return sandbox
  }

  func give(_ sandbox: consuming Sandbox, tenant: Int64, isLost: Bool, keepsState: Bool) {
    sandbox.context = nil
    let isPoisoned = isLost || sandbox.isPoisoned
    sandbox.standing = isPoisoned ? .poisoned : .idle
    let box = SandboxBox(sandbox)
    let (hasChores, isClosed) = state.withLock { state in
      state.places.give(box, tenant: tenant, isPoisoned: isPoisoned, keepsState: keepsState)
      if isPoisoned { state.replaced += 1 }
      return (state.places.hasChores, state.places.isClosed)
    }
    if hasChores { bell.ring() }
    news.ringAll()
    // The maintainer may have gone.
    if isClosed { dropWaste() }
  }

  private func dropWaste() {
    while true {
      let chore = state.withLock { $0.places.nextChore(now: 0) }
      guard case .drop(let box) = chore else { return }
      _ = box.open()
    }
  }

  func waitForChange(atMost limit: Duration) {
    let ticket = news.ticket()
    let (isClosed, retryAt) = state.withLock { ($0.places.isClosed, $0.places.retryAt) }
    guard !isClosed else { return }
    let now = monotonicNanoseconds()
    let (end, overflow) = now.addingReportingOverflow(limit.nanoseconds)
    let latest = overflow ? UInt64.max : end
    news.wait(ticket, until: retryAt > now ? min(retryAt, latest) : latest)
  }

  // MARK: The maintainer

  private func maintain() {
    while true {
      let ticket = bell.ticket()
      let (chore, isClosed) = state.withLock { state in
        (state.places.nextChore(now: monotonicNanoseconds()), state.places.isClosed)
      }
      switch chore {
      case .drop(let box): _ = box.open()
      case .make: makeAhead()
      case .restore(let box):
        if let sandbox = restored(box) { putWarm(sandbox) } else { makeAhead() }
        news.ringAll()
      case .wait(let time):
        if isClosed { return }
        bell.wait(ticket, until: time)
      }
    }
  }

  private func makeAhead() {
    if let sandbox = make() {
      state.withLock { state in
        state.created += 1
        state.lastFailure = nil
      }
      putWarm(sandbox)
    }
    news.ringAll()
  }

  private func putWarm(_ sandbox: consuming Sandbox) {
    sandbox.standing = .warm
    let box = SandboxBox(sandbox)
    state.withLock { $0.places.made(box) }
  }

  // MARK: Both

  /// A new sandbox; nil where none could be made, which is said, and puts the next attempt off.
  private func make() -> Sandbox? {
    do throws(MachineError) {
      return try template.makeSandbox()
    } catch {
      let count = state.withLock { state in
        state.places.failed(now: monotonicNanoseconds())
        state.failures += 1
        state.lastFailure = error
        return state.places.failuresInARow
      }
      template.metrics.creationFailed()
      logger.error(
        "no sandbox could be made; the next attempt waits",
        metadata: ["error": "\(error.message)", "failures": "\(count)"])
      return nil
    }
  }

  /// The sandbox of a box as good as new; nil where that failed, and then it is gone.
  private func restored(_ box: SandboxBox) -> Sandbox? {
    guard var sandbox = box.open() else { return nil }
    do throws(MachineError) {
      try sandbox.restore()
      sandbox.standing = .inService
      state.withLock { $0.restored += 1 }
      return sandbox
    } catch {
      logger.warning(
        "a sandbox could not be restored and is replaced", metadata: ["error": "\(error.message)"])
      return nil
    }
  }

  func close() {
    state.withLock { $0.places.close() }
    bell.ring()
    news.ringAll()
    while !hasEnded.load(ordering: .acquiring) {
      let ticket = ended.ticket()
      if !hasEnded.load(ordering: .acquiring) { ended.wait(ticket, until: .max) }
    }
  }
}
