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

  /// Takes the content of `slot`, which is an empty frame afterwards.
  init(taking slot: UnsafeMutablePointer<zmq_msg_t>) {
    self.init()
    // Moving into an initialised message cannot fail (zmq_msg_move(3)).
    zmq_msg_move(pointer, slot)
  }

  /// A frame of these bytes, not of a copy of them: libzmq's I/O thread drops the last reference when it has sent them.
  public init(sharing bytes: [UInt8]) throws(ZMQError) {
    pointer = .allocate(capacity: 1)
    let box = SharedBytes(bytes)
    let hint = Unmanaged.passRetained(box)
    let result = zmq_msg_init_data(
      pointer, UnsafeMutableRawPointer(mutating: box.start), bytes.count,
      { _, hint in
        guard let hint else { return }
        Unmanaged<SharedBytes>.fromOpaque(hint).release()
      }, hint.toOpaque())
    guard result == 0 else {
      let error = ZMQError.last("zmq_msg_init_data \(bytes.count)")
      hint.release()
      zmq_msg_init(pointer)
      throw error
    }
  }

  /// A frame with a copy of `bytes`.
  public init(copying bytes: UnsafeRawBufferPointer) throws(ZMQError) {
    try self.init(count: bytes.count) { $0.copyMemory(from: bytes) }
  }

  /// Bytes in the frame.
  public var count: Int { zmq_msg_size(pointer) }

  /// Whether another frame of the same message follows; meaningful for a received frame.
  public var more: Bool { zmq_msg_more(pointer) != 0 }

  /// The frame's bytes, in place, during `body`.
  public borrowing func withUnsafeBytes<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(unsafeBytes)
  }

  /// The frame's bytes, in place: good for as long as the frame lives and is neither sent, nor received into, nor cleared.
  public var unsafeBytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: zmq_msg_data(pointer), count: zmq_msg_size(pointer))
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
