internal import CZeroMQ

/// A ZeroMQ socket, closed by its `deinit`. Owned and used by one thread at a time (zmq_socket(3)); nothing here blocks.
struct Socket: ~Copyable {
  enum Kind: Int32 {
    case dealer = 5
    case router = 6
    case pull = 7
    case push = 8
    case rep = 4
    case req = 3
    case pair = 0
  }

  let handle: UnsafeMutableRawPointer
  // zmq_ctx_term blocks while a socket is open, so the context must not go first.
  private let context: Context

  init(_ context: Context, _ kind: Kind) throws(ZMQError) {
    guard let handle = zmq_socket(context.handle, kind.rawValue) else { throw .last("zmq_socket(\(kind))") }
    self.handle = handle
    self.context = context
  }

  deinit {
    zmq_close(handle)
  }

  func bind(_ endpoint: String) throws(ZMQError) {
    guard zmq_bind(handle, endpoint) == 0 else { throw .last("zmq_bind(\(endpoint))") }
  }

  func connect(_ endpoint: String) throws(ZMQError) {
    guard zmq_connect(handle, endpoint) == 0 else { throw .last("zmq_connect(\(endpoint))") }
  }

  /// Stops accepting on a bound endpoint; connections that exist stay.
  func unbind(_ endpoint: String) throws(ZMQError) {
    guard zmq_unbind(handle, endpoint) == 0 else { throw .last("zmq_unbind(\(endpoint))") }
  }

  /// The endpoint as bound last, with wildcards (`tcp://127.0.0.1:*`) resolved.
  func lastEndpoint() throws(ZMQError) -> String {
    var size = 1024
    var name = [CChar](repeating: 0, count: size)
    guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &name, &size) == 0 else {
      throw .last("zmq_getsockopt(ZMQ_LAST_ENDPOINT)")
    }
    return String(decoding: name.prefix(max(0, size - 1)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func set(_ option: Int32, _ value: Int32) throws(ZMQError) {
    var value = value
    guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size) == 0 else {
      throw .last("zmq_setsockopt(\(option), \(value))")
    }
  }

  func set(_ option: Int32, _ value: Int64) throws(ZMQError) {
    var value = value
    guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int64>.size) == 0 else {
      throw .last("zmq_setsockopt(\(option), \(value))")
    }
  }

  func set(_ option: Int32, _ bytes: UnsafeRawBufferPointer) throws(ZMQError) {
    guard zmq_setsockopt(handle, option, bytes.baseAddress, bytes.count) == 0 else {
      throw .last("zmq_setsockopt(\(option))")
    }
  }

  /// Sends a copy of `bytes` as one frame.
  ///
  /// - Returns: false if it cannot be sent now. Only the first frame of a message can be refused: libzmq accepts or refuses
  ///   whole messages.
  func send(_ bytes: UnsafeRawBufferPointer, more: Bool) throws(ZMQError) -> Bool {
    while zmq_send(handle, bytes.baseAddress, bytes.count, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0 {
      let number = zmq_errno()
      if number == ZMQError.Code.again.rawValue { return false }
      if number != ZMQError.Code.interrupted.rawValue { throw .last("zmq_send") }
    }
    return true
  }
}
