internal import CZeroMQ
internal import Glibc

/// A failed libzmq call: what was attempted, on what, and libzmq's error number.
public struct ZMQError: Error, Equatable, Sendable, CustomStringConvertible {
  /// An `errno` value, libzmq's own (`ETERM`, `EFSM`) included.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// The call would block.
    public static let again = Code(rawValue: EAGAIN)
    /// A signal arrived during the call.
    public static let interrupted = Code(rawValue: EINTR)
    /// The context is being terminated.
    public static let terminated = Code(rawValue: ETERM)
    /// `ROUTER_MANDATORY`: the routing id names no connected peer.
    public static let hostUnreachable = Code(rawValue: EHOSTUNREACH)
    /// Another socket is bound to this endpoint.
    public static let addressInUse = Code(rawValue: EADDRINUSE)
  }

  public let code: Code
  /// The libzmq function, and the endpoint or option it was given.
  public let operation: String

  /// Reads libzmq's error number of the calling thread; call it directly after the failed function.
  @inline(never)
  static func last(_ operation: @autoclosure () -> String) -> ZMQError {
    let number = zmq_errno()
    return ZMQError(code: Code(rawValue: number), operation: operation())
  }

  public var description: String {
    "\(operation): \(String(cString: zmq_strerror(code.rawValue))) (errno \(code.rawValue))"
  }
}
