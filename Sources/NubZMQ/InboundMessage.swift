internal import CZeroMQ

/// The frames of the message that was received last, in slots that are used again for the next one: receiving allocates
/// nothing of ours and copies nothing.
///
/// A sender decides how many frames a message has and libzmq has to be read to its end, so frames beyond the limits are
/// received and dropped one by one, and the message is marked ``isTruncated``.
public struct InboundMessage: ~Copyable {
  // `capacity` slots, all initialised from init to deinit; the last one takes what is dropped. A frame of up to 33 bytes lies
  // inside its slot, and slots never move, so `places` stay good until the next receive.
  private let slots: UnsafeMutablePointer<zmq_msg_t>
  private let places: UnsafeMutablePointer<UnsafeRawBufferPointer>
  private let capacity: Int
  private let maximumBytes: Int

  /// Frames kept.
  public private(set) var count = 0
  /// Bytes of all frames, the dropped ones included.
  public private(set) var byteCount = 0
  /// Whether frames were dropped, because there were too many or too many bytes.
  public private(set) var isTruncated = false

  public init(maximumFrames: Int, maximumBytes: Int) {
    capacity = maximumFrames + 1
    self.maximumBytes = maximumBytes
    slots = .allocate(capacity: capacity)
    places = .allocate(capacity: capacity)
    for index in 0..<capacity { zmq_msg_init(slots + index) }
    places.initialize(repeating: UnsafeRawBufferPointer(start: nil, count: 0), count: capacity)
  }

  deinit {
    for index in 0..<capacity { zmq_msg_close(slots + index) }
    slots.deallocate()
    places.deallocate()
  }

  /// Receives a message, all of it.
  ///
  /// - Returns: false if none is waiting.
  public mutating func receive(from socket: inout Socket) throws(ZMQError) -> Bool {
    count = 0
    byteCount = 0
    isTruncated = false
    var more = true
    while more {
      let isKept = count < capacity - 1 && byteCount <= maximumBytes
      let slot = slots + (isKept ? count : capacity - 1)
      // libzmq hands out whole messages: after a first frame the others are there (zmq_msg_recv(3)).
      while zmq_msg_recv(slot, socket.pointer, ZMQ_DONTWAIT) < 0 {
        guard try socket.mayRetry("zmq_msg_recv") else { return false }
      }
      let size = zmq_msg_size(slot)
      byteCount += size
      if isKept, byteCount <= maximumBytes {
        places[count] = UnsafeRawBufferPointer(start: zmq_msg_data(slot), count: size)
        count += 1
      } else {
        // The next receive into this slot frees what it holds.
        isTruncated = true
      }
      more = zmq_msg_more(slot) != 0
    }
    return true
  }

  /// The frames that were kept; good until the next ``receive(from:)`` or ``releaseLargeFrames()``.
  public var views: UnsafeBufferPointer<UnsafeRawBufferPointer> {
    UnsafeBufferPointer(start: places, count: count)
  }

  /// What the ZAP handler called the connection that the message came by (RFC 27); nil where nobody was asked.
  public var userID: String? {
    // The last frame is the peer's own; a ROUTER made the first.
    guard count > 0, let text = zmq_msg_gets(slots + (count - 1), "User-Id") else { return nil }
    return String(cString: text)
  }

  /// Takes a frame out, without copying it if it has more than 33 bytes; ``views`` shows it empty afterwards.
  public mutating func take(_ index: Int) -> Message {
    places[index] = UnsafeRawBufferPointer(start: nil, count: 0)
    return Message(taking: slots + index)
  }

  /// Gives the memory of large frames back that would otherwise wait for the next message to take their slots.
  public mutating func releaseLargeFrames() {
    guard byteCount > 64 << 10 else { return }
    for index in 0..<count {
      places[index] = UnsafeRawBufferPointer(start: nil, count: 0)
      zmq_msg_close(slots + index)
      zmq_msg_init(slots + index)
    }
    count = 0
  }
}
