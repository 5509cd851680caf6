internal import Synchronization

/// Counts an ``Authenticator``'s answers. From any thread.
public final class HandshakeTally: Sendable {
  /// Handshakes since the start.
  public struct Counts: Sendable, Equatable {
    public var admitted: UInt64 = 0
    public var refused: UInt64 = 0
    /// Turned away for a while, because there were too many.
    public var limited: UInt64 = 0

    public init() {}
  }

  private let state = Mutex(Counts())

  init() {}

  public var counts: Counts { state.withLock { $0 } }

  /// One more.
  public func add(_ kind: WritableKeyPath<Counts, UInt64>) { state.withLock { $0[keyPath: kind] += 1 } }
}
