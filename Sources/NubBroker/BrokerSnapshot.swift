internal import Synchronization

/// A broker at one moment, for its operator.
public struct BrokerSnapshot: Sendable {
  public struct ServiceState: Sendable {
    public var name = ""
    public var workers = 0
    public var idle = 0
    public var waiting = 0
    /// How long the oldest request has waited.
    public var oldestMilliseconds: UInt64 = 0
    public var requests: UInt64 = 0
    public var replies: UInt64 = 0
    public var refused: UInt64 = 0
    public var expired: UInt64 = 0
  }

  public var counters = BrokerCounters()
  public var isDraining = false
  public var waiting = 0
  public var waitingBytes = 0
  public var waitingBytesLimit = 0
  public var workers = 0
  /// How often the endpoints were closed and opened again to get memory back.
  public var reopened: UInt64 = 0
  /// By name; those beyond ``maximumServices`` are added up in one that is called `other`.
  public var services: [ServiceState] = []

  /// Peers choose services' names, so not all of them can be told apart for ever.
  public static let maximumServices = 128

  public init() {}
}

/// Where a broker leaves what its operator may ask for, about once a second.
public final class BrokerBoard: Sendable {
  private let state = Mutex<BrokerSnapshot?>(nil)
  public init() {}
  /// Nil before the broker serves.
  public var snapshot: BrokerSnapshot? { state.withLock { $0 } }
  func set(_ snapshot: BrokerSnapshot) { state.withLock { $0 = snapshot } }
}

extension Broker {
  func snapshot(at now: BrokerTime, isDraining: Bool) -> BrokerSnapshot {
    var snapshot = BrokerSnapshot()
    snapshot.counters = counters
    snapshot.isDraining = isDraining
    snapshot.waiting = waiting
    snapshot.waitingBytes = waitingBytes
    snapshot.waitingBytesLimit = configuration.waitingBytes
    snapshot.workers = workers.count
    var other: BrokerSnapshot.ServiceState?
    let order = services.values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    for (index, service) in order.enumerated() {
      var state = BrokerSnapshot.ServiceState(name: String(decoding: service.name, as: UTF8.self))
      state.workers = service.workers
      state.idle = service.idle.count
      state.waiting = service.queue.count
      state.oldestMilliseconds = service.queue.oldest(at: now.monotonic)
      state.requests = service.counters.requests
      state.replies = service.counters.replies
      state.refused = service.counters.refused
      state.expired = service.counters.expired
      guard index >= BrokerSnapshot.maximumServices else {
        snapshot.services.append(state)
        continue
      }
      var sum = other ?? BrokerSnapshot.ServiceState(name: "other")
      sum.workers += state.workers
      sum.idle += state.idle
      sum.waiting += state.waiting
      sum.oldestMilliseconds = max(sum.oldestMilliseconds, state.oldestMilliseconds)
      sum.requests += state.requests
      sum.replies += state.replies
      sum.refused += state.refused
      sum.expired += state.expired
      other = sum
    }
    if let other { snapshot.services.append(other) }
    return snapshot
  }
}
