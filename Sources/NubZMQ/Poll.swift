internal import CZeroMQ
internal import Glibc

/// What a socket or file descriptor is ready for.
public struct Readiness: OptionSet, Sendable {
  public let rawValue: Int16
  public init(rawValue: Int16) { self.rawValue = rawValue }
  public static let readable = Readiness(rawValue: Int16(ZMQ_POLLIN))
  public static let writable = Readiness(rawValue: Int16(ZMQ_POLLOUT))
  public static let error = Readiness(rawValue: Int16(ZMQ_POLLERR))
}

/// A fixed set of sockets and descriptors that one thread waits for (zmq_poll(3)).
///
/// Holds addresses of sockets without owning them: keep the sockets alive as long, on the thread that polls.
public struct PollSet: ~Copyable {
  private var items: [zmq_pollitem_t] = []

  public init() {}

  /// Adds a socket; the index is for ``wait(milliseconds:)``'s results.
  @discardableResult
  public mutating func add(_ socket: borrowing Socket, for interest: Readiness) -> Int {
    items.append(zmq_pollitem_t(socket: socket.pointer, fd: 0, events: interest.rawValue, revents: 0))
    return items.count - 1
  }

  /// Adds a file descriptor.
  @discardableResult
  public mutating func add(fileDescriptor: Int32, for interest: Readiness) -> Int {
    items.append(zmq_pollitem_t(socket: nil, fd: fileDescriptor, events: interest.rawValue, revents: 0))
    return items.count - 1
  }

  /// Another socket in the place of one that is about to be closed.
  public mutating func replace(_ index: Int, with socket: borrowing Socket) {
    items[index].socket = socket.pointer
    items[index].revents = 0
  }

  /// Changes what an entry waits for.
  public mutating func setInterest(_ index: Int, _ interest: Readiness) {
    items[index].events = interest.rawValue
  }

  /// Waits until an entry is ready.
  /// - Parameter milliseconds: how long at most; -1 for ever. A signal may end the wait early, with nothing ready.
  /// - Returns: how many entries are ready.
  @discardableResult
  public mutating func wait(milliseconds: Int) throws(ZMQError) -> Int {
    let ready = zmq_poll(&items, Int32(items.count), milliseconds)
    if ready >= 0 { return Int(ready) }
    guard zmq_errno() == EINTR else { throw .last("zmq_poll") }
    for index in items.indices { items[index].revents = 0 }
    return 0
  }

  /// What the entry was ready for when ``wait(milliseconds:)`` returned.
  public func readiness(_ index: Int) -> Readiness {
    Readiness(rawValue: items[index].revents)
  }
}
