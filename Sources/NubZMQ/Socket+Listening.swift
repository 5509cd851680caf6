internal import CZeroMQ

extension Socket {
  /// Binds, and says which descriptor listens there. It is libzmq's, and closed with the socket.
  public mutating func bindListening(_ endpoint: String) throws(ZMQError) -> Int32 {
    let events = "inproc://nub-listening"
    guard zmq_socket_monitor(pointer, events, ZMQ_EVENT_LISTENING) == 0 else {
      throw .last("zmq_socket_monitor")
    }
    defer { zmq_socket_monitor(pointer, nil, 0) }
    var monitor = try Socket(context, .pair)
    try monitor.set(.linger, 0)
    try monitor.connect(events)
    try bind(endpoint)
    // zmq_socket_monitor(3): two bytes of event and the descriptor as its value; then the endpoint.
    let frames = try monitor.receiveFrames() ?? []
    guard let event = frames.first, event.count == 6 else {
      throw ZMQError(code: .invalidArgument, operation: "zmq_socket_monitor \(endpoint)")
    }
    return event.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 2, as: Int32.self) }
  }
}
