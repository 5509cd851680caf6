internal import CZeroMQ
internal import Glibc

/// A libzmq context: its I/O threads and the `inproc` name space.
///
/// Every ``Socket`` keeps its context alive, so the context is terminated after the last socket was closed and
/// termination waits only for messages that a socket's ``SocketOption/linger`` still allows to leave.
///
/// `@unchecked`: the only state is a pointer that never changes, to a libzmq context, which is safe to use from any
/// thread (zmq_ctx_new(3)).
public final class Context: @unchecked Sendable {
  let pointer: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - ioThreads: threads that move bytes; one serves about a gigabyte a second.
  ///   - maxSockets: sockets that may be open at once, accepted connections among them; no more than libzmq can have.
  public init(ioThreads: Int32 = 1, maxSockets: Int32 = 1023) throws(ZMQError) {
    guard let pointer = zmq_ctx_new() else { throw .last("zmq_ctx_new") }
    self.pointer = pointer
    // deinit runs from here on, also when a line below throws.
    guard zmq_ctx_set(pointer, ZMQ_IO_THREADS, ioThreads) == 0 else { throw .last("zmq_ctx_set IO_THREADS") }
    let sockets = min(maxSockets, zmq_ctx_get(pointer, ZMQ_SOCKET_LIMIT))
    guard zmq_ctx_set(pointer, ZMQ_MAX_SOCKETS, sockets) == 0 else { throw .last("zmq_ctx_set MAX_SOCKETS") }
    // A socket that was given no linger must not hang at exit: libzmq's own default is to wait for ever.
    guard zmq_ctx_set(pointer, ZMQ_BLOCKY, 0) == 0 else { throw .last("zmq_ctx_set BLOCKY") }
  }

  /// Makes every call on this context's sockets, blocked or to come, fail with ``ZMQError/Code/terminated``.
  /// From any thread.
  public func shutdown() {
    zmq_ctx_shutdown(pointer)
  }

  deinit {
    // EINTR only means that a signal came while messages lingered.
    while zmq_ctx_term(pointer) != 0, zmq_errno() == EINTR {}
  }
}

/// CURVE keys in libzmq's printable form (Z85).
public struct CurveKeyPair: Sendable {
  /// 40 characters of Z85.
  public let publicKey: String
  /// 40 characters of Z85; whoever has it is the owner.
  public let secretKey: String

  public init(publicKey: String, secretKey: String) {
    self.publicKey = publicKey
    self.secretKey = secretKey
  }

  /// A new pair; fails where libzmq was built without CURVE.
  public static func generate() throws(ZMQError) -> CurveKeyPair {
    // 40 characters and a terminating zero each (zmq_curve_keypair(3)).
    var publicKey = [CChar](repeating: 0, count: 41)
    var secretKey = publicKey
    guard zmq_curve_keypair(&publicKey, &secretKey) == 0 else { throw .last("zmq_curve_keypair") }
    return CurveKeyPair(publicKey: text(publicKey), secretKey: text(secretKey))
  }

  private static func text(_ key: [CChar]) -> String {
    String(decoding: key.prefix(40).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
