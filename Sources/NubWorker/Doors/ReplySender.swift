internal import NubZMQ

/// Sends replies: the envelope, `NUB1`, `reply`, id, status, body, meta.
struct ReplySender: ~Copyable {
  /// Bodies of more than this are handed to libzmq without a copy.
  static let shareLimit = 16 << 10

  private var meta: MetaWriter
  private let magic = FrameDecoder.magic
  private let verb: StaticString = "reply"

  init(worker: String, engine: String) {
    meta = MetaWriter(worker: worker, engine: engine)
  }

  /// - Returns: false if the socket cannot take a message now; nothing of it was sent then.
  mutating func send(on socket: inout Socket, _ reply: Reply) throws(ZMQError) -> Bool {
    let isFirstAccepted = try reply.envelope.forEachFrame { (frame) throws(ZMQError) in
      try socket.send(frame, [.dontWait, .more])
    }
    guard isFirstAccepted, try socket.send(magic.bytes, [.dontWait, .more]) else { return false }
    // libzmq refuses a message at its first frame or not at all, except when the peer vanishes in the middle; then the whole
    // message is void and is sent again.
    guard try socket.send(verb.bytes, [.dontWait, .more]) else { return false }
    guard try send(reply.id, on: &socket) else { return false }
    guard try send(reply.status, on: &socket) else { return false }
    if reply.body.count > Self.shareLimit {
      var frame = try Message(sharing: reply.body)
      guard try socket.send(moving: &frame, [.dontWait, .more]) else { return false }
    } else {
      guard try send(reply.body, on: &socket) else { return false }
    }
    return try meta.write(reply.meta) { (bytes) throws(ZMQError) in try socket.send(bytes, .dontWait) }
  }

  private func send(_ id: ShortBytes, on socket: inout Socket) throws(ZMQError) -> Bool {
    try id.withUnsafeBytes { (bytes) throws(ZMQError) in try socket.send(bytes, [.dontWait, .more]) }
  }

  private func send(_ status: Status, on socket: inout Socket) throws(ZMQError) -> Bool {
    let value = status.rawValue.littleEndian
    return try withUnsafeBytes(of: value) { (bytes) throws(ZMQError) in
      try socket.send(bytes, [.dontWait, .more])
    }
  }

  private func send(_ body: [UInt8], on socket: inout Socket) throws(ZMQError) -> Bool {
    try body.withUnsafeBufferPointer { (bytes) throws(ZMQError) in
      try socket.send(UnsafeRawBufferPointer(bytes), [.dontWait, .more])
    }
  }
}

extension StaticString {
  /// The text's bytes; good for as long as the process lives.
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: utf8Start, count: utf8CodeUnitCount)
  }
}
