/// The words of the Majordomo protocol, MDP/0.1 (RFC 7), and of its management interface (RFC 8).
enum MDP {
  /// Frame 1 of every message between a client and a broker.
  static let client = Array("MDPC01".utf8)
  /// Frame 1 of every message between a worker and a broker.
  static let worker = Array("MDPW01".utf8)
  /// Services that a broker answers itself (RFC 8).
  static let managementPrefix = Array("mmi.".utf8)

  /// Frame 2 of a worker's or to a worker.
  enum Command: UInt8 {
    case ready = 1
    case request = 2
    case reply = 3
    case heartbeat = 4
    case disconnect = 5
  }

  /// Bytes of a service's name: RFC 7 says a printable string, and leaves its length open.
  static let serviceBytes = 255

  /// Whether this can name a service: printable ASCII, so that it can be logged and compared without surprises.
  static func isServiceName(_ bytes: [UInt8]) -> Bool {
    (1...serviceBytes).contains(bytes.count) && bytes.allSatisfy { (0x20...0x7E).contains($0) }
  }

  /// The frames that a command to a worker begins with.
  static func head(_ command: Command) -> [[UInt8]] { [[], worker, [command.rawValue]] }
}

/// Points in time that the state machines are told; they read no clock.
public struct BrokerTime: Sendable, Equatable {
  /// Milliseconds of a clock that never steps.
  public var monotonic: UInt64
  /// Milliseconds since 1970: what `expires_at_ms` is compared with.
  public var unix: Int64

  public init(monotonic: UInt64, unix: Int64 = 0) {
    self.monotonic = monotonic
    self.unix = unix
  }
}
