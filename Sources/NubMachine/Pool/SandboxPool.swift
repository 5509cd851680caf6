public import Logging

/// Sandboxes kept ready, so that a tenant's batch does not wait for one to be made.
///
/// A thread of its own makes sandboxes ahead, replaces those that are out of service, and drops what is not needed. A
/// sandbox in which a tenant's calls have run goes back to the same tenant as it is, and to another only after a
/// restore that succeeded. Any thread may take and give.
public final class SandboxPool: Sendable {
  /// The pool at one moment, and what it has done since it was made.
  public struct Statistics: Sendable, Equatable {
    /// Ready, nobody's.
    public var warm = 0
    /// With the state of the tenant that used them last.
    public var idle = 0
    /// Out, with somebody.
    public var taken = 0
    /// Being made or restored.
    public var pending = 0
    /// Made since the pool was.
    public var created: UInt64 = 0
    /// Restored, so that somebody else could have them.
    public var restored: UInt64 = 0
    /// Dropped because they were out of service.
    public var replaced: UInt64 = 0
    /// Attempts to make one that failed.
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
  ///   - reclaim: how many of the warm ones are kept ready even where the longest unused one of a tenant has to be restored
  ///     for it; nil for all of them.
  /// - Throws: ``MachineError/Code/configurationInvalid`` where the numbers are absurd, or where the process may not open
  ///   enough file descriptors for them.
  public init(
    template: SandboxTemplate, warm: Int, maximum: Int, reclaim: Int? = nil,
    logger: Logger = Logger(label: "nub.pool")
  ) throws(MachineError) {
    guard warm >= 0, maximum >= 1, warm <= maximum, maximum <= 100_000, reclaim ?? 0 >= 0 else {
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
    core = PoolCore(template: template, warm: warm, reclaim: reclaim, maximum: maximum, logger: logger)
    core.start()
  }

  deinit { core.close() }

  /// A sandbox for a tenant: the one it used last where it is still there, else one in which nothing has run, see
  /// ``Sandbox/isPristine``.
  ///
  /// A warm one costs a lock. Where there is none, one is made or restored on the caller's thread; where all places are
  /// being filled, it waits for that.
  /// - Parameter fresh: true for one in which nothing has run in any case.
  /// - Throws: why none could be made, and then, until the next attempt is due, the same again at once: see
  ///   ``waitForChange(atMost:)``. ``MachineError/Code/system(errno:)`` with EAGAIN where all are taken by others, with
  ///   ESHUTDOWN where the pool is closed.
  public func take(tenant: Int64, fresh: Bool = false) throws(MachineError) -> Sandbox {
    try core.take(tenant: tenant, fresh: fresh)
  }

  /// Gives back what ``take(tenant:fresh:)`` gave. A poisoned sandbox is replaced in the background.
  /// - Parameter keepsState: false where the tenant has no use for what is in it; then it is the first to be restored.
  public func give(_ sandbox: consuming Sandbox, tenant: Int64, keepsState: Bool = true) {
    core.give(sandbox, tenant: tenant, isLost: false, keepsState: keepsState)
  }

  /// Gives back what nobody shall use again, though it would go on: it is replaced in the background.
  public func discard(_ sandbox: consuming Sandbox) {
    core.give(sandbox, tenant: 0, isLost: true, keepsState: false)
  }

  /// After a failed ``take(tenant:fresh:)``: returns when another may succeed, because a sandbox has come back or been
  /// made, or the next attempt is due, or the pool has been closed; at the latest after `limit`.
  public func waitForChange(atMost limit: Duration) { core.waitForChange(atMost: limit) }

  /// The pool now. Costs its lock.
  public var statistics: Statistics { core.statistics }

  /// Stops making sandboxes, ends every wait, and drops those that nobody has; those that are out are dropped when they come back.
  /// Returns when the pool's thread has ended.
  public func close() { core.close() }
}
