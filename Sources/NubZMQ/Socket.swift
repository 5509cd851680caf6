internal import CZeroMQ
internal import Glibc

/// A ZeroMQ socket, closed when it goes away.
///
/// `Sendable` although libzmq's sockets are not thread-safe: the type is noncopyable and every use is `mutating`, so
/// the compiler grants one user at a time, and handing a socket over with a full fence is what zmq_socket(3) allows.
public struct Socket: ~Copyable, @unchecked Sendable {
  public struct SendFlags: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }
    /// More frames of this message follow.
    public static let more = SendFlags(rawValue: ZMQ_SNDMORE)
    /// Return `false` instead of waiting for room.
    public static let dontWait = SendFlags(rawValue: ZMQ_DONTWAIT)
  }

  let pointer: UnsafeMutableRawPointer
  /// Released after `deinit` closed the socket, so termination never waits for it.
  let context: Context

  public init(_ context: Context, _ kind: SocketKind) throws(ZMQError) {
    guard let pointer = zmq_socket(context.pointer, kind.rawValue) else { throw .last("zmq_socket") }
    self.pointer = pointer
    self.context = context
  }

  deinit {
    zmq_close(pointer)
  }

  // MARK: Options and endpoints

  public mutating func set(_ option: SocketOption<Int32>, _ value: Int32) throws(ZMQError) {
    var value = value
    guard zmq_setsockopt(pointer, option.name, &value, MemoryLayout<Int32>.size) == 0 else {
      throw .last("zmq_setsockopt \(option.name) = \(value)")
    }
  }

  public mutating func set(_ option: SocketOption<Int64>, _ value: Int64) throws(ZMQError) {
    var value = value
    guard zmq_setsockopt(pointer, option.name, &value, MemoryLayout<Int64>.size) == 0 else {
      throw .last("zmq_setsockopt \(option.name) = \(value)")
    }
  }

  public mutating func set(_ option: SocketOption<String>, _ value: String) throws(ZMQError) {
    // The value stays out of the message: it may be a secret key.
    guard zmq_setsockopt(pointer, option.name, value, value.utf8.count) == 0 else {
      throw .last("zmq_setsockopt \(option.name)")
    }
  }

  /// Seconds of silence until TCP asks whether the peer is there, seconds between its questions, and how many it asks.
  public enum KeepAlive {
    public static let idle: Int32 = 15
    public static let interval: Int32 = 5
    public static let count: Int32 = 3
  }

  /// Lets TCP notice a peer that has vanished in half a minute; left alone it takes hours.
  public mutating func keepAlive() throws(ZMQError) {
    try set(.tcpKeepalive, 1)
    try set(.tcpKeepaliveIdle, KeepAlive.idle)
    try set(.tcpKeepaliveInterval, KeepAlive.interval)
    try set(.tcpKeepaliveCount, KeepAlive.count)
  }

  /// Of peers on ipc endpoints, lets in those of this user only, or of those that were named before: the kernel knows who connects
  /// (SO_PEERCRED of unix(7)).
  public mutating func admitUser(_ user: UInt32) throws(ZMQError) {
    var user = user
    guard zmq_setsockopt(pointer, ZMQ_IPC_FILTER_UID, &user, MemoryLayout<UInt32>.size) == 0 else {
      throw .last("zmq_setsockopt IPC_FILTER_UID")
    }
  }

  public mutating func bind(_ endpoint: String) throws(ZMQError) {
    guard zmq_bind(pointer, endpoint) == 0 else { throw .last("zmq_bind \(endpoint)") }
  }

  /// Binds where a socket was that has just been closed. libzmq takes a listener down on a thread of its own; until then the address
  /// is taken, or, worse, a path that is bound already would be unlinked.
  public mutating func bindAgain(_ endpoint: String) throws(ZMQError) {
    let path = endpoint.hasPrefix("ipc://") ? String(endpoint.dropFirst(6)) : nil
    // Of a millisecond each; one or two are the rule.
    for _ in 0..<2_000 {
      if path.map({ access($0, F_OK) != 0 }) ?? true {
        if zmq_bind(pointer, endpoint) == 0 { return }
        guard zmq_errno() == EADDRINUSE else { throw .last("zmq_bind \(endpoint)") }
      }
      usleep(1_000)
    }
    try bind(endpoint)
  }

  public mutating func connect(_ endpoint: String) throws(ZMQError) {
    guard zmq_connect(pointer, endpoint) == 0 else { throw .last("zmq_connect \(endpoint)") }
  }

  public mutating func disconnect(_ endpoint: String) throws(ZMQError) {
    guard zmq_disconnect(pointer, endpoint) == 0 else { throw .last("zmq_disconnect \(endpoint)") }
  }

  /// The endpoint bound or connected last, with the port that the system chose for `tcp://…:*`.
  public mutating func lastEndpoint() throws(ZMQError) -> String {
    var buffer = [UInt8](repeating: 0, count: 1024)
    var size = buffer.count
    guard zmq_getsockopt(pointer, ZMQ_LAST_ENDPOINT, &buffer, &size) == 0 else {
      throw .last("zmq_getsockopt LAST_ENDPOINT")
    }
    return String(decoding: buffer.prefix(max(0, size - 1)), as: UTF8.self)
  }

  // MARK: Sending

  /// Sends a copy of `bytes` as one frame.
  /// - Returns: `false` when the socket would have to wait and was told not to; nothing was sent then.
  public mutating func send(_ bytes: UnsafeRawBufferPointer, _ flags: SendFlags = []) throws(ZMQError) -> Bool
  {
    while zmq_send(pointer, bytes.baseAddress, bytes.count, flags.rawValue) < 0 {
      guard try mayRetry("zmq_send") else { return false }
    }
    return true
  }

  public mutating func send(_ bytes: [UInt8], _ flags: SendFlags = []) throws(ZMQError) -> Bool {
    while true {
      let sent = bytes.withUnsafeBytes { zmq_send(pointer, $0.baseAddress, $0.count, flags.rawValue) }
      if sent >= 0 { return true }
      guard try mayRetry("zmq_send") else { return false }
    }
  }

  /// Sends a frame without copying it; it is empty afterwards, or untouched when `false` is returned.
  public mutating func send(moving message: inout Message, _ flags: SendFlags = []) throws(ZMQError) -> Bool {
    while zmq_msg_send(message.pointer, pointer, flags.rawValue) < 0 {
      guard try mayRetry("zmq_msg_send") else { return false }
    }
    return true
  }

  // MARK: Receiving

  /// Receives one frame into `message`, whose former bytes are given back.
  /// - Returns: `false` when there is none and the call was told not to wait.
  public mutating func receive(into message: inout Message, wait: Bool = true) throws(ZMQError) -> Bool {
    while zmq_msg_recv(message.pointer, pointer, wait ? 0 : ZMQ_DONTWAIT) < 0 {
      guard try mayRetry("zmq_msg_recv") else { return false }
    }
    return true
  }

  /// Receives the rest of a message: all its frames, copied.
  /// - Returns: `nil` when there is none and the call was told not to wait.
  public mutating func receiveFrames(wait: Bool = true) throws(ZMQError) -> [[UInt8]]? {
    var frame = Message()
    guard try receive(into: &frame, wait: wait) else { return nil }
    var frames = [frame.bytes]
    // The frames of a message arrive together (zmq_msg_recv(3)): waiting for them never blocks.
    while frame.more {
      guard try receive(into: &frame) else { break }
      frames.append(frame.bytes)
    }
    return frames
  }

  /// Sends all frames as one message.
  /// - Returns: `false` when the first frame would have to wait and the call was told not to.
  public mutating func send(frames: [[UInt8]], wait: Bool = true) throws(ZMQError) -> Bool {
    for (index, frame) in frames.enumerated() {
      // Once the first frame is taken the others are too (zmq_send(3): a message is atomic).
      var flags: SendFlags = index + 1 < frames.count ? .more : []
      if !wait { flags.insert(.dontWait) }
      guard try send(frame, flags) else { return false }
    }
    return true
  }

  /// True: call again (a signal came in between). False: would block.
  func mayRetry(_ operation: StaticString) throws(ZMQError) -> Bool {
    switch zmq_errno() {
    case EINTR: return true
    case EAGAIN: return false
    default: throw .last("\(operation)")
    }
  }
}
