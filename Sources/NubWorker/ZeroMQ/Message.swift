internal import CZeroMQ

/// One frame owned by libzmq. Moving it moves the frame; nothing is copied.
struct Message: ~Copyable {
  // Relocating a zmq_msg_t bitwise is what libzmq's own zmq_msg_move does: frames of up to 33 bytes lie inside it, the rest are
  // pointers to the heap. So Swift may move it as well, and only a borrow pins the address.
  private var raw = zmq_msg_t()

  /// Takes the content of `source`, which is empty afterwards.
  init(taking source: UnsafeMutablePointer<zmq_msg_t>) {
    zmq_msg_init(&raw)
    zmq_msg_move(&raw, source)
  }

  /// A frame that sends `bytes` without copying them; libzmq's I/O thread drops the last reference to them.
  init(sharing bytes: [UInt8]) throws(ZMQError) {
    let box = SharedBytes(bytes)
    let count = bytes.count
    let hint = Unmanaged.passRetained(box)
    let result = zmq_msg_init_data(
      &raw, UnsafeMutableRawPointer(mutating: box.start), count,
      { _, hint in
        guard let hint else { return }
        Unmanaged<SharedBytes>.fromOpaque(hint).release()
      }, hint.toOpaque())
    guard result == 0 else {
      let error = ZMQError.last("zmq_msg_init_data of \(count) bytes")
      hint.release()
      zmq_msg_init(&raw)
      throw error
    }
  }

  deinit {
    // zmq_msg_close wants a mutable pointer, and a deinit's self is immutable: close a bitwise copy, which is the last one.
    var last = raw
    zmq_msg_close(&last)
  }

  /// The frame's bytes. For a frame of more than 33 bytes the address stays good for as long as the frame lives, also when it
  /// is moved (they lie on libzmq's heap); for a smaller one until it is moved.
  mutating func bytes() -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: zmq_msg_data(&raw), count: zmq_msg_size(&raw))
  }

  /// - Returns: false if it cannot be sent now; the frame is unchanged then, and empty after success.
  mutating func send(on socket: UnsafeMutableRawPointer, more: Bool) throws(ZMQError) -> Bool {
    while zmq_msg_send(&raw, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 {
      let number = zmq_errno()
      if number == ZMQError.Code.again.rawValue { return false }
      if number != ZMQError.Code.interrupted.rawValue { throw .last("zmq_msg_send") }
    }
    return true
  }
}

/// Bytes that libzmq's I/O thread reads while they wait to be sent.
///
/// The array is native, has this object as its only owner and is never mutated, so its storage neither moves nor goes away
/// before the object does.
private final class SharedBytes: Sendable {
  private let bytes: [UInt8]
  nonisolated(unsafe) let start: UnsafeRawPointer

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    // A one-byte static stands in for an empty array, which has no address.
    start = bytes.withUnsafeBytes { $0.baseAddress } ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
  }
}
