internal import CZeroMQ

/// One frame, owned.
///
/// The `zmq_msg_t` lives at an address of its own because libzmq forbids copying it bytewise (zmq_msg_init(3)); small
/// frames have their bytes in it. A message that is received into again costs no allocation of this type's.
///
/// `Sendable` because a message has one owner at a time and libzmq ties it to no thread.
public struct Message: ~Copyable, @unchecked Sendable {
  let pointer: UnsafeMutablePointer<zmq_msg_t>

  /// An empty frame, for example to receive into.
  public init() {
    pointer = .allocate(capacity: 1)
    zmq_msg_init(pointer)  // Cannot fail (zmq_msg_init(3)).
  }

  /// A frame of `count` bytes that `fill` writes.
  public init(count: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) throws(ZMQError) {
    pointer = .allocate(capacity: 1)
    guard zmq_msg_init_size(pointer, count) == 0 else {
      // Leaves a valid message for deinit, which runs because every stored property is set.
      zmq_msg_init(pointer)
      throw .last("zmq_msg_init_size \(count)")
    }
    fill(UnsafeMutableRawBufferPointer(start: zmq_msg_data(pointer), count: count))
  }

  /// A frame with a copy of `bytes`.
  public init(copying bytes: UnsafeRawBufferPointer) throws(ZMQError) {
    try self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
  }

  /// Bytes in the frame.
  public var count: Int { zmq_msg_size(pointer) }

  /// Whether another frame of the same message follows; meaningful for a received frame.
  public var more: Bool { zmq_msg_more(pointer) != 0 }

  /// The frame's bytes, in place. For small frames they are inside the message itself: keep no pointer.
  public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(start: zmq_msg_data(pointer), count: zmq_msg_size(pointer)))
  }

  /// The frame's bytes, copied.
  public var bytes: [UInt8] { withUnsafeBytes { Array($0) } }

  /// Gives the bytes back now; the message is an empty frame afterwards.
  public mutating func clear() {
    zmq_msg_close(pointer)
    zmq_msg_init(pointer)
  }

  deinit {
    zmq_msg_close(pointer)
    pointer.deallocate()
  }
}
