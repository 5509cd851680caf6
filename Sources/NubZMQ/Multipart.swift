internal import CZeroMQ

/// A whole message: its frames, owned, in one allocation of slots. Passing it on moves the frames; bytes are not copied.
///
/// A class, because messages wait in queues and tables, which cannot hold noncopyable values. One thread at a time uses it:
/// it is not `Sendable`.
public final class Multipart {
  /// What one received message may hold. What is beyond is read and dropped, frame by frame, because a sender decides
  /// how many frames a message has and libzmq has to be read to its end.
  public struct Limits: Sendable {
    public var frames: Int
    public var bytes: Int

    public init(frames: Int, bytes: Int) {
      self.frames = frames
      self.bytes = bytes
    }
  }

  // `capacity` slots, of which the first `count` are initialised; slots are relocated by zmq_msg_move alone.
  private var slots: UnsafeMutablePointer<zmq_msg_t>
  private var capacity: Int
  public private(set) var count = 0
  /// Bytes of all frames that are kept.
  public private(set) var byteCount = 0
  /// Whether frames were dropped because there were too many or too many bytes.
  public private(set) var isTruncated = false

  public init(capacity: Int = 8) {
    self.capacity = max(1, capacity)
    slots = .allocate(capacity: self.capacity)
  }

  /// Copies of `frames`.
  public convenience init(_ frames: [[UInt8]]) throws(ZMQError) {
    self.init(capacity: frames.count)
    for frame in frames { try append(frame) }
  }

  deinit {
    for index in 0..<count { zmq_msg_close(slots + index) }
    slots.deallocate()
  }

  /// Receives a message if one is waiting.
  /// - Returns: `nil` when there is none.
  public static func receive(from socket: inout Socket, _ limits: Limits) throws(ZMQError) -> Multipart? {
    var frame = Message()
    guard try socket.receive(into: &frame, wait: false) else { return nil }
    let message = Multipart()
    while true {
      let more = frame.more
      if message.count < limits.frames, frame.count <= limits.bytes - message.byteCount {
        message.append(moving: &frame)
      } else {
        message.isTruncated = true
        frame.clear()
      }
      // The frames of a message arrive together (zmq_msg_recv(3)): waiting for them never blocks.
      guard more, try socket.receive(into: &frame) else { return message }
    }
  }

  /// The bytes of the frame at `index`, in place, good during `body`; empty beyond the end.
  public func withBytes<Result, Failure: Error>(
    _ index: Int, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    guard index >= 0, index < count else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    return try body(
      UnsafeRawBufferPointer(start: zmq_msg_data(slots + index), count: zmq_msg_size(slots + index)))
  }

  /// Bytes in the frame at `index`; 0 beyond the end.
  public func size(_ index: Int) -> Int {
    index >= 0 && index < count ? zmq_msg_size(slots + index) : 0
  }

  /// A copy of the frame at `index`; empty beyond the end.
  public subscript(index: Int) -> [UInt8] { withBytes(index) { Array($0) } }

  /// Copies of all frames from `start` on.
  public func frames(from start: Int = 0) -> [[UInt8]] {
    start < count ? (start..<count).map { self[$0] } : []
  }

  /// Whether the frame at `index` exists and holds exactly `bytes`.
  public func frame(_ index: Int, equals bytes: [UInt8]) -> Bool {
    guard index >= 0, index < count, size(index) == bytes.count else { return false }
    return withBytes(index) { $0.elementsEqual(bytes) }
  }

  /// A property of the connection that the message came by, as the peer's handshake and the ZAP handler set it, for
  /// example `User-Id` (zmq_msg_gets(3)); `nil` when there is none.
  public func property(_ name: String) -> String? {
    // The socket adds routing ids itself; the last frame came from the peer in any case.
    guard count > 0, let value = zmq_msg_gets(slots + (count - 1), name) else { return nil }
    return String(cString: value)
  }

  /// Adds a copy of `bytes` as the last frame.
  public func append(_ bytes: [UInt8]) throws(ZMQError) {
    var frame = try Message(count: bytes.count) { $0.copyBytes(from: bytes) }
    append(moving: &frame)
  }

  /// Adds a frame; `frame` is empty afterwards.
  public func append(moving frame: inout Message) {
    if count == capacity { grow() }
    byteCount += frame.count
    zmq_msg_init(slots + count)
    // Moving into an initialised message cannot fail (zmq_msg_move(3)).
    zmq_msg_move(slots + count, frame.pointer)
    count += 1
  }

  /// Puts a copy of `bytes` in the place of the frame at `index`; does nothing beyond the end.
  public func replace(_ index: Int, with bytes: [UInt8]) throws(ZMQError) {
    guard index >= 0, index < count else { return }
    let frame = try Message(count: bytes.count) { $0.copyBytes(from: bytes) }
    byteCount += frame.count - zmq_msg_size(slots + index)
    zmq_msg_move(slots + index, frame.pointer)
  }

  /// Sends copies of `head` and then this message's frames from `start` on, moving them, as one message, without waiting.
  ///
  /// At least one frame must come of it.
  /// - Returns: `false` when the socket would have to wait; nothing was sent and nothing moved then. libzmq takes or
  ///   refuses a message with its first frame, so the same holds for a thrown error about the first frame (a ROUTER
  ///   without such a peer).
  public func send(on socket: inout Socket, head: [[UInt8]], from start: Int) throws(ZMQError) -> Bool {
    let rest = max(start, 0)..<max(start, 0, count)
    for (index, frame) in head.enumerated() {
      let isLast = index + 1 == head.count && rest.isEmpty
      guard try socket.send(frame, isLast ? [.dontWait] : [.dontWait, .more]) else { return false }
    }
    for index in rest {
      let flags = index + 1 < count ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT
      while zmq_msg_send(slots + index, socket.pointer, flags) < 0 {
        switch ZMQError.last("zmq_msg_send") {
        case let error where error.code == .interrupted: continue
        case let error where error.code == .wouldBlock && index == rest.lowerBound && head.isEmpty:
          return false
        case let error: throw error
        }
      }
    }
    return true
  }

  /// A message of the same frames. Large ones share their bytes (zmq_msg_copy(3)), so nobody may write to either's.
  public func shared() -> Multipart {
    let copy = Multipart(capacity: count)
    for index in 0..<count {
      zmq_msg_init(copy.slots + index)
      // Between initialised messages it cannot fail; the source changes in nothing but its count of references.
      zmq_msg_copy(copy.slots + index, slots + index)
    }
    copy.count = count
    copy.byteCount = byteCount
    copy.isTruncated = isTruncated
    return copy
  }

  private func grow() {
    let larger = UnsafeMutablePointer<zmq_msg_t>.allocate(capacity: capacity * 2)
    for index in 0..<count {
      zmq_msg_init(larger + index)
      zmq_msg_move(larger + index, slots + index)
      zmq_msg_close(slots + index)
    }
    slots.deallocate()
    slots = larger
    capacity *= 2
  }
}
