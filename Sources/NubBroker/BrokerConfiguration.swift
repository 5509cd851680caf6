/// What a broker allows. Times in milliseconds; every bound is there because a peer could otherwise choose how much memory the
/// broker takes.
public struct BrokerConfiguration: Sendable {
  /// Which requests are given to another worker when theirs has died with them.
  public enum Redelivery: String, Sendable, CaseIterable {
    /// Those without effect when run again: every verb but `call`, and requests that are not nub's, which RFC 7 declares
    /// idempotent. The asker of a `call` is told at once (`unavailable`) and decides.
    case safe
    /// Calls, too: for workers that share a store, or whose functions may run twice.
    case always
    /// None.
    case never
  }

  /// What replies call this broker.
  public var name = "broker"
  /// Between heartbeats; workers must be told the same (RFC 7).
  public var heartbeat: UInt64 = 2_500
  /// Heartbeats that may be missing before a worker counts as gone.
  public var liveness: UInt64 = 3
  /// Requests that may wait, for each service and in all.
  public var requestsPerService = 10_000
  public var requests = 100_000
  /// Requests of one connection that may wait.
  public var requestsPerClient = 2_000
  /// Bytes that waiting requests may hold in all.
  public var waitingBytes = 512 << 20
  /// Services known at once, and workers registered at once.
  public var services = 4_096
  public var workers = 16_384
  /// How long a request waits for a service that has no worker.
  public var serviceTimeout: UInt64 = 30_000
  /// Waiting this long counts as much as one step of priority, so nothing waits for ever.
  public var aging: UInt64 = 10_000
  public var redelivery = Redelivery.safe
  /// How often one request is given to a worker, at most.
  public var deliveries = 2
  /// What producers that are refused are told to wait.
  public var retryAfter: UInt64 = 500

  public init() {}
}
