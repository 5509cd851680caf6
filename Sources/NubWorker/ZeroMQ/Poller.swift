internal import CZeroMQ
internal import Glibc

/// `zmq_poll` over a fixed set of sockets and plain file descriptors. Used by the thread that owns the sockets.
struct Poller: ~Copyable {
  private var items: [zmq_pollitem_t] = []

  /// - Returns: the index to use with ``setEvents(_:input:output:)`` and ``isReadable(_:)``.
  mutating func add(_ socket: borrowing Socket) -> Int {
    items.append(zmq_pollitem_t(socket: socket.handle, fd: -1, events: 0, revents: 0))
    return items.count - 1
  }

  /// Another socket in the place of one that is closed.
  mutating func replace(_ index: Int, with socket: borrowing Socket) {
    items[index].socket = socket.handle
    items[index].revents = 0
  }

  mutating func add(fileDescriptor: Int32) -> Int {
    items.append(zmq_pollitem_t(socket: nil, fd: fileDescriptor, events: Int16(ZMQ_POLLIN), revents: 0))
    return items.count - 1
  }

  mutating func setEvents(_ index: Int, input: Bool, output: Bool) {
    items[index].events = Int16((input ? ZMQ_POLLIN : 0) | (output ? ZMQ_POLLOUT : 0))
  }

  /// Waits until something is ready or `milliseconds` are over (-1: without a limit, 0: just look).
  mutating func wait(milliseconds: Int) throws(ZMQError) {
    let result = items.withUnsafeMutableBufferPointer { items in
      zmq_poll(items.baseAddress, Int32(items.count), milliseconds)
    }
    // A signal ends the wait early; whatever it was about has been noted elsewhere.
    if result < 0, zmq_errno() != EINTR { throw .last("zmq_poll") }
    if result < 0 { for index in items.indices { items[index].revents = 0 } }
  }

  func isReadable(_ index: Int) -> Bool { items[index].revents & Int16(ZMQ_POLLIN) != 0 }
}
