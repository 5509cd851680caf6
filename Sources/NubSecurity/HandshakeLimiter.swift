/// Bounds how often one address may be refused before it has to wait, and how many handshakes are answered in all. Pure.
///
/// A token bucket each. What it saves is the handler's time and the log: the handshake's own cryptography is done by libzmq
/// before it asks.
public struct HandshakeLimiter: Sendable {
  struct Limits: Sendable {
    /// Handshakes a second in all, and how many may come at once: a fleet reconnects as one when its broker returns.
    var perSecond = 2_000
    var burst = 20_000
    /// Refused handshakes a second for each address, and at once.
    var refusalsPerSecond = 5
    var refusalBurst = 20
    /// Addresses remembered; when there are more, all are forgotten.
    var addresses = 4_096
  }

  private struct Bucket: Sendable {
    var tokens: Int
    var filled: UInt64

    /// Tokens are counted in thousandths, so that milliseconds add up exactly.
    mutating func fill(_ now: UInt64, perSecond: Int, burst: Int) {
      let elapsed = Int(clamping: min(now > filled ? now - filled : 0, 3_600_000))
      tokens = min(burst * 1_000, tokens + elapsed * perSecond)
      filled = max(now, filled)
    }

    mutating func take() -> Bool {
      guard tokens >= 1_000 else { return false }
      tokens -= 1_000
      return true
    }
  }

  private let limits: Limits
  private var total: Bucket
  private var refusals: [String: Bucket] = [:]

  /// - Parameter now: milliseconds of any clock that does not step.
  public init(milliseconds now: UInt64) { self.init(Limits(), milliseconds: now) }

  init(_ limits: Limits, milliseconds now: UInt64) {
    self.limits = limits
    total = Bucket(tokens: limits.burst * 1_000, filled: now)
  }

  /// Whether the handshake is looked at now.
  public mutating func admits(_ address: String, milliseconds now: UInt64) -> Bool {
    if var bucket = refusals[address] {
      bucket.fill(now, perSecond: limits.refusalsPerSecond, burst: limits.refusalBurst)
      refusals[address] = bucket
      guard bucket.tokens >= 1_000 else { return false }
    }
    total.fill(now, perSecond: limits.perSecond, burst: limits.burst)
    return total.take()
  }

  /// A handshake from the address was refused.
  public mutating func noteRefusal(_ address: String, milliseconds now: UInt64) {
    if refusals.count >= limits.addresses, refusals[address] == nil { refusals.removeAll() }
    var bucket = refusals[address] ?? Bucket(tokens: limits.refusalBurst * 1_000, filled: now)
    bucket.fill(now, perSecond: limits.refusalsPerSecond, burst: limits.refusalBurst)
    _ = bucket.take()
    refusals[address] = bucket
  }
}
