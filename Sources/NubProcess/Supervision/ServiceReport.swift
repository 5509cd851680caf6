/// How a process is, in the words of a service manager.
public struct ServiceReport: Sendable, Equatable {
  public enum Phase: Sendable, Hashable {
    case starting
    case up
    case stopping
  }

  public var phase: Phase
  /// Whether everything makes progress. Where not, the manager's watchdog is left to run out.
  public var isLive: Bool
  /// One line for people: `systemctl status` shows it.
  public var status: String

  public init(phase: Phase, isLive: Bool, status: String) {
    self.phase = phase
    self.isLive = isLive
    self.status = status
  }
}
