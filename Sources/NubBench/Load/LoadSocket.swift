import CZeroMQ
import Glibc

/// A ZeroMQ socket for producers and collectors that should cost next to nothing beside the worker they drive: no layer, no
/// allocation per message. One thread uses it.
struct LoadSocket: ~Copyable {
  enum Kind: Int32 {
    case push
    case pull
    case dealer

    var number: Int32 {
      switch self {
      case .push: ZMQ_PUSH
      case .pull: ZMQ_PULL
      case .dealer: ZMQ_DEALER
      }
    }
  }

  private let context: UnsafeMutableRawPointer
  private let socket: UnsafeMutableRawPointer
  private let message: UnsafeMutablePointer<zmq_msg_t>

  static var libraryVersion: String {
    var major: Int32 = 0
    var minor: Int32 = 0
    var patch: Int32 = 0
    zmq_version(&major, &minor, &patch)
    return "\(major).\(minor).\(patch)"
  }

  init(_ kind: Kind, _ endpoint: String, bind: Bool) throws(BenchError) {
    let context = zmq_ctx_new()
    let socket = context.flatMap { zmq_socket($0, kind.number) }
    guard let context, let socket else { throw LoadSocket.last("zmq_socket") }
    let result = bind ? zmq_bind(socket, endpoint) : zmq_connect(socket, endpoint)
    guard result == 0 else { throw LoadSocket.last("\(bind ? "zmq_bind" : "zmq_connect") \(endpoint)") }
    self.context = context
    self.socket = socket
    message = .allocate(capacity: 1)
    zmq_msg_init(message)
  }

  deinit {
    zmq_msg_close(message)
    message.deallocate()
    // What was sent and not yet taken still leaves: the other side counts on all of it.
    zmq_close(socket)
    while zmq_ctx_term(context) != 0, zmq_errno() == EINTR {}
  }

  /// Sends one frame; waits for room.
  @inline(__always)
  mutating func send(_ bytes: UnsafeRawBufferPointer, more: Bool) throws(BenchError) {
    while zmq_send(socket, bytes.baseAddress, bytes.count, more ? ZMQ_SNDMORE : 0) < 0 {
      guard zmq_errno() == EINTR else { throw LoadSocket.last("zmq_send") }
    }
  }

  mutating func send(_ frame: [UInt8], more: Bool) throws(BenchError) {
    let span = frame.span
    try span.withUnsafeBytes { (bytes) throws(BenchError) in try send(bytes, more: more) }
  }

  /// Receives one frame; waits at most `milliseconds`, -1 for as long as it takes.
  /// - Returns: false when nothing came in time.
  @inline(__always)
  mutating func receive(waiting: Bool = true) throws(BenchError) -> Bool {
    while zmq_msg_recv(message, socket, waiting ? 0 : ZMQ_DONTWAIT) < 0 {
      let error = zmq_errno()
      if error == EAGAIN { return false }
      guard error == EINTR else { throw LoadSocket.last("zmq_msg_recv") }
    }
    return true
  }

  /// How long a waiting ``receive(waiting:)`` waits.
  mutating func setReceiveTimeout(milliseconds: Int32) {
    var value = milliseconds
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &value, MemoryLayout<Int32>.size)
  }

  /// The bytes of the frame received last, until the next one is.
  @inline(__always)
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message))
  }

  /// Whether another frame of the same message follows.
  @inline(__always)
  var more: Bool { zmq_msg_more(message) != 0 }

  private static func last(_ operation: String) -> BenchError {
    BenchError(.process, "\(operation): \(String(cString: zmq_strerror(zmq_errno())))")
  }
}
