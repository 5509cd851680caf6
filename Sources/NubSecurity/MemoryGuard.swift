/// Decides what to give up when the process holds more memory than it may. A value: it is told the time and the memory.
///
/// libzmq counts whole messages: the frames of one that is never finished lie outside every high-water mark, and peers that do not
/// finish theirs can take any amount. Closing the socket is what gives it back.
public struct MemoryGuard: Sendable {
  public enum Step: Sendable, Equatable {
    case nothing
    /// Give the allocator's free memory back to the system: what is freed is not resident memory at once.
    case trim
    /// Close the sockets of this stage, and open them again.
    case reopen(stage: Int)
    /// All of it was not enough: the memory is somewhere else.
    case giveUp
  }

  private enum State: Equatable {
    case calm
    /// Waits for what was done last to show, until then.
    case settling(next: Int, until: UInt64)
    /// Until then, or until there is more memory than this.
    case resting(until: UInt64, above: Int)
  }

  /// Bytes; 0 for no limit.
  public let limit: Int
  private let stages: Int
  private var state = State.calm

  /// Milliseconds that freed memory is given to leave: libzmq closes sockets on threads of its own.
  static let settleMilliseconds: UInt64 = 300
  /// Milliseconds until it is all tried again.
  static let restMilliseconds: UInt64 = 10_000

  /// - Parameter stages: how many sets of sockets there are to reopen, the one with the least to lose first.
  public init(limit: Int, stages: Int) {
    self.limit = limit
    self.stages = stages
  }

  /// - Parameters:
  ///   - resident: bytes.
  ///   - now: milliseconds of any clock that does not step.
  public mutating func look(resident: Int, at now: UInt64) -> Step {
    guard limit > 0, resident > limit else {
      state = .calm
      return .nothing
    }
    switch state {
    case .calm:
      state = .settling(next: 0, until: now)
      return .trim
    case .settling(_, let until) where now < until:
      return .trim
    case .settling(let next, _):
      guard next < stages else {
        // What is held otherwise stays; what still comes is a peer's again.
        state = .resting(until: now &+ Self.restMilliseconds, above: resident + limit / 8)
        return .giveUp
      }
      state = .settling(next: next + 1, until: now &+ Self.settleMilliseconds)
      return .reopen(stage: next)
    case .resting(let until, let bound):
      if now >= until || resident > bound { state = .calm }
      return .nothing
    }
  }
}
