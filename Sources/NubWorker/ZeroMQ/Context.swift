internal import CZeroMQ

/// A ZeroMQ context. Each socket keeps it alive; when the last of them has been closed, `deinit` waits until what they sent has
/// left or their `LINGER` is over.
///
/// Thread-safe, as libzmq documents contexts to be; sockets are not.
final class Context: Sendable {
  // libzmq's contexts may be used from any thread (zmq_ctx_new(3)); the pointer itself never changes.
  nonisolated(unsafe) let handle: UnsafeMutableRawPointer

  /// - Parameters:
  ///   - ioThreads: one serves about a gigabyte per second (the libzmq guide's rule).
  ///   - maximumSockets: libzmq's table size. The default of 1023 would limit accepted connections, too.
  init(ioThreads: Int32 = 1, maximumSockets: Int32 = 65_535) throws(ZMQError) {
    guard let handle = zmq_ctx_new() else { throw .last("zmq_ctx_new") }
    self.handle = handle
    zmq_ctx_set(handle, ZMQ_IO_THREADS, ioThreads)
    zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, min(maximumSockets, zmq_ctx_get(handle, ZMQ_SOCKET_LIMIT)))
    // libzmq's BLOCKY default gives every new socket an infinite LINGER, which hangs at exit.
    zmq_ctx_set(handle, ZMQ_BLOCKY, 0)
  }

  deinit {
    // EINTR only means that a signal came while lingering messages were being sent.
    while zmq_ctx_term(handle) != 0, zmq_errno() == ZMQError.Code.interrupted.rawValue {}
  }
}
