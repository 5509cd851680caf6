internal import CZeroMQ
internal import Glibc

/// A call into libzmq that failed.
public struct ZMQError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What went wrong, as libzmq's errno.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Nothing to do right now on a socket that was told not to wait.
    public static let wouldBlock = Code(rawValue: EAGAIN)
    /// A signal arrived in the middle of the call.
    public static let interrupted = Code(rawValue: EINTR)
    /// The context was shut down: close the socket.
    public static let terminated = Code(rawValue: 156_384_712 + 53)
    /// A ROUTER with ``SocketOption/routerMandatory`` has no such peer.
    public static let hostUnreachable = Code(rawValue: EHOSTUNREACH)
    public static let addressInUse = Code(rawValue: EADDRINUSE)
    public static let invalidArgument = Code(rawValue: EINVAL)
  }

  public let code: Code
  /// The libzmq call and what it was about, for example `zmq_bind tcp://127.0.0.1:7700`.
  public let operation: String

  public init(code: Code, operation: String) {
    self.code = code
    self.operation = operation
  }

  /// The error of the libzmq call that this thread made last.
  static func last(_ operation: @autoclosure () -> String) -> ZMQError {
    ZMQError(code: Code(rawValue: zmq_errno()), operation: operation())
  }

  public var description: String {
    "\(operation): \(String(cString: zmq_strerror(code.rawValue)))"
  }
}
