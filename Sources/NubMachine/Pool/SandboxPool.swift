import Foundation
public import Logging
import Synchronization

/// Sandboxes kept ready, so that a tenant's batch does not wait for one to be made.
///
/// A thread of its own makes sandboxes ahead, replaces those that are out of service, and drops what is not needed. A
/// sandbox in which a tenant's calls have run goes back to the same tenant as it is, and to another only after a
/// restore that succeeded. Any thread may take and give.
public final class SandboxPool: Sendable {
  public struct Statistics: Sendable, Equatable {
    /// Ready, nobody's.
    public var warm = 0
    /// With the state of the tenant that used them last.
    public var idle = 0
    /// Out, with somebody.
    public var taken = 0
    /// Being made or restored.
    public var pending = 0
    public var created: UInt64 = 0
    public var restored: UInt64 = 0
    /// Dropped because they were out of service.
    public var replaced: UInt64 = 0
    public var failures: UInt64 = 0
    /// Why the last attempt to make one failed; nil since one succeeded.
    public var lastFailure: MachineError?

    public static func == (left: Statistics, right: Statistics) -> Bool {
      left.warm == right.warm && left.idle == right.idle && left.taken == right.taken
        && left.pending == right.pending && left.created == right.created && left.restored == right.restored
        && left.replaced == right.replaced && left.failures == right.failures
        && left.lastFailure?.message == right.lastFailure?.message
    }
  }

  private let core: PoolCore

  /// - Parameters:
  ///   - warm: how many sandboxes are kept ready for whoever comes.
  ///   - maximum: how many there may be in all, at least `warm`. Beyond it the longest unused one is released.
  /// - Throws: ``MachineError/Code/configurationInvalid`` where the numbers are absurd, or where the process may not open
  ///   enough file descriptors for them.
  public init(
    template: SandboxTemplate, warm: Int, maximum: Int, logger: Logger = Logger(label: "nub.pool")
  ) throws(MachineError) {
    guard warm >= 0, maximum >= 1, warm <= maximum, maximum <= 100_000 else {
      throw MachineError(
        .configurationInvalid,
        "a pool of \(warm) warm and at most \(maximum) sandboxes is none; 0 <= warm <= maximum")
    }
    let limit = FileDescriptorLimit.raise()
    let needed = UInt64(maximum) * 2 + 64
    guard template.engine != .kvm || needed <= limit else {
      throw MachineError(
        .configurationInvalid,
        "\(maximum) sandboxes need \(needed) file descriptors, and this process may open \(limit): raise the limit "
          + "(LimitNOFILE= in a systemd unit, ulimit -n) or allow fewer sandboxes")
    }
    core = PoolCore(template: template, warm: warm, maximum: maximum, logger: logger)
    core.start()
  }

  deinit { core.close() }

  /// A sandbox for a tenant: the one it used last where it is still there, else one in which nothing has run.
  ///
  /// A warm one costs a lock. Where there is none, one is made or restored on the caller's thread.
  /// - Parameter fresh: true for one in which nothing has run in any case.
  /// - Throws: what making one throws; ``MachineError/Code/system(errno:)`` with EAGAIN where all are taken by others.
  public func take(tenant: Int64, fresh: Bool = false) throws(MachineError) -> Sandbox {
    try core.take(tenant: tenant, fresh: fresh)
  }

  /// Gives back what ``take(tenant:fresh:)`` gave. A poisoned sandbox is replaced in the background.
  public func give(_ sandbox: consuming Sandbox, tenant: Int64) { core.give(sandbox, tenant: tenant) }

  public var statistics: Statistics { core.statistics }

  /// Stops making sandboxes and drops those that nobody has; those that are out are dropped when they come back.
  /// Returns when the pool's thread has ended.
  public func close() { core.close() }
}

/// What a noncopyable sandbox needs to be put into arrays: a place that it is moved into once and out of once.
private final class SandboxBox: @unchecked Sendable {
  // Sendable: a box is in exactly one place of the pool's state, which is behind a lock, or with the one thread that
  // took it out of there.
  private var sandbox: Sandbox?

  init(_ sandbox: consuming Sandbox) { self.sandbox = consume sandbox }

  func open() -> Sandbox? { sandbox.take() }
}

/// The pool without its handle: the maintainer's thread keeps this alive, not the pool.
private final class PoolCore: Sendable {
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
  private let bell = Bell()
  private let ended = Bell()
  private let hasEnded = Atomic<Bool>(false)

  init(template: SandboxTemplate, warm: Int, maximum: Int, logger: Logger) {
    self.template = template
    self.logger = logger
    state = Mutex(State(places: PoolState(warmTarget: warm, maximum: maximum)))
  }

  func start() {
    let thread = Thread { [self] in
      maintain()
      hasEnded.store(true, ordering: .releasing)
      ended.ring()
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
        replaced: state.replaced,
        failures: state.failures, lastFailure: state.lastFailure)
    }
  }

  // MARK: Callers

  func take(tenant: Int64, fresh: Bool) throws(MachineError) -> Sandbox {
    let (grant, isClosed) = state.withLock { state in
      state.places.isClosed
        ? (PoolState<SandboxBox>.Grant.exhausted, true)
        : (state.places.take(tenant: tenant, fresh: fresh), false)
    }
    switch grant {
    case .ready(let box):
      bell.ring()
      guard let sandbox = box.open() else { return try make() }
      return sandbox
    case .restoring(let box):
      if let sandbox = restored(box) {
        state.withLock { $0.places.granted(true) }
        return sandbox
      }
      return try make()
    case .making: return try make()
    case .exhausted:
      throw MachineError(
        .system(errno: isClosed ? ESHUTDOWN : EAGAIN),
        isClosed ? "the pool is closed" : "all sandboxes are in use; allow more, or run fewer lanes")
    }
  }

  /// Makes the sandbox that a grant has reserved a place for.
  private func make() throws(MachineError) -> Sandbox {
    do throws(MachineError) {
      let sandbox = try template.makeSandbox()
      state.withLock { state in
        state.places.granted(true)
        state.created += 1
      }
      return sandbox
    } catch {
      state.withLock { state in
        state.places.granted(false)
        state.failures += 1
        state.lastFailure = error
      }
      throw error
    }
  }

  func give(_ sandbox: consuming Sandbox, tenant: Int64) {
    sandbox.context = nil
    let isPoisoned = sandbox.isPoisoned
    let box = SandboxBox(sandbox)
    state.withLock { state in
      state.places.give(box, tenant: tenant, isPoisoned: isPoisoned)
      if isPoisoned { state.replaced += 1 }
    }
    bell.ring()
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
        if let sandbox = restored(box) {
          let box = SandboxBox(sandbox)
          state.withLock { $0.places.made(box) }
        } else {
          makeAhead()
        }
      case .wait(let time):
        if isClosed { return }
        bell.wait(ticket, until: time)
      }
    }
  }

  private func makeAhead() {
    do throws(MachineError) {
      let box = SandboxBox(try template.makeSandbox())
      state.withLock { state in
        state.places.made(box)
        state.created += 1
        state.lastFailure = nil
      }
    } catch {
      let count = state.withLock { state in
        state.places.failed(now: monotonicNanoseconds())
        state.failures += 1
        state.lastFailure = error
        return state.places.failuresInARow
      }
      logger.error(
        "no sandbox could be made ahead; the next attempt waits",
        metadata: ["error": "\(error.message)", "failures": "\(count)"])
    }
  }

  /// The sandbox of a box as good as new; nil where that failed, and then it is gone.
  private func restored(_ box: SandboxBox) -> Sandbox? {
    guard var sandbox = box.open() else { return nil }
    do throws(MachineError) {
      try sandbox.restore()
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
    while !hasEnded.load(ordering: .acquiring) {
      let ticket = ended.ticket()
      if !hasEnded.load(ordering: .acquiring) { ended.wait(ticket, until: .max) }
    }
  }
}
