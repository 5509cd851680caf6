internal import Synchronization

/// How a worker is, for those who ask from outside: a supervisor, `/livez` and `/readyz`, `nub worker ctl status`. From any thread.
public final class Health: Sendable {
  /// Where a worker is in its life.
  public enum Phase: String, Sendable, CaseIterable {
    case starting
    case serving
    /// Takes nothing new until it is told to resume.
    case quiet
    /// Takes nothing new, and ends when what it has is done.
    case draining
    case stopped
  }

  /// One look.
  public struct Report: Sendable, Equatable {
    public internal(set) var phase = Phase.starting
    /// Threads that have work and make no progress: `doors`, `commits`, `relay`, `lane 0`.
    public internal(set) var stuck: [String] = []
    /// Why the store takes no new work; nil while it does.
    public internal(set) var storeRefusal: String?
    /// Why the last attempt to make a sandbox failed; nil since one was made.
    public internal(set) var sandboxProblem: String?
    /// Jobs between a door and their reply, as of the last tenth of a second.
    public internal(set) var inFlight = 0
    /// Jobs that wait for a lane, likewise.
    public internal(set) var waiting = 0
    /// Replies that no collector takes, likewise: a pipeline stands still when there are many.
    public internal(set) var uncollected = 0

    /// Whether the process does what it has to do. Nothing but a new start helps where not.
    public var isLive: Bool { stuck.isEmpty }

    /// Whether new work should be sent here.
    public var isReady: Bool { isLive && phase == .serving && storeRefusal == nil && sandboxProblem == nil }
  }

  private let state = Mutex(Report())

  /// Told of each new phase, and of threads that get stuck or free; on the thread that noticed.
  private let onChange: (@Sendable (Report) -> Void)?

  init(onChange: (@Sendable (Report) -> Void)? = nil) {
    self.onChange = onChange
  }

  public var report: Report { state.withLock { $0 } }
  public var isLive: Bool { report.isLive }
  public var isReady: Bool { report.isReady }

  func update(_ change: (inout Report) -> Void) {
    let (before, after) = state.withLock { report in
      let before = report
      change(&report)
      return (before, report)
    }
    if let onChange, before.phase != after.phase || before.stuck != after.stuck { onChange(after) }
  }
}
