internal import Glibc
internal import Logging
internal import NubZMQ
internal import Synchronization

/// The server's thread: made by the starter, used by the thread alone afterwards.
final class HTTPLoop {
  private final class Connection {
    let number: UInt64
    let descriptor: Int32
    var exchange: HTTPExchange
    var hasShutDown = false

    init(number: UInt64, descriptor: Int32, exchange: HTTPExchange) {
      self.number = number
      self.descriptor = descriptor
      self.exchange = exchange
    }

    deinit { close(descriptor) }
  }

  private let listener: HTTPListener
  private let shared: HTTPServer.Shared
  private let options: HTTPServer.Options
  private let hosts: HostPolicy
  private let content: any HTTPContent
  private let logger: Logger
  private var connections: [UInt64: Connection] = [:]
  private var last: UInt64 = 0
  /// Until then nobody new is let in: descriptors are short.
  private var acceptsFrom: UInt64 = 0
  private var nextTick: UInt64 = 0
  private var buffer = [UInt8](repeating: 0, count: 16 << 10)
  private var now: UInt64 = 0

  init(
    listener: consuming HTTPListener, shared: HTTPServer.Shared, options: HTTPServer.Options,
    hosts: HostPolicy,
    content: any HTTPContent, logger: Logger
  ) {
    self.listener = listener
    self.shared = shared
    self.options = options
    self.hosts = hosts
    self.content = content
    self.logger = logger
  }

  func run() {
    while !shared.isStopping.load(ordering: .acquiring) {
      now = Self.milliseconds(CLOCK_MONOTONIC)
      if now >= nextTick {
        content.tick()
        nextTick = now + 1_000
      }
      deliver()
      expire()
      wait()
    }
  }

  // MARK: Rounds

  private func wait() {
    var items: [pollfd] = [pollfd(fd: shared.waker.fileDescriptor, events: Int16(POLLIN), revents: 0)]
    let accepts = now >= acceptsFrom
    items.append(pollfd(fd: accepts ? listener.descriptor : -1, events: Int16(POLLIN), revents: 0))
    var order: [Connection] = []
    order.reserveCapacity(connections.count)
    var deadline = accepts ? nextTick : min(nextTick, acceptsFrom)
    for connection in connections.values {
      var events: Int32 = 0
      if connection.exchange.wantsInput { events |= POLLIN }
      if connection.exchange.phase == .writing { events |= POLLOUT }
      // Without events poll(2) still tells of a peer that has gone.
      items.append(pollfd(fd: connection.descriptor, events: Int16(events), revents: 0))
      order.append(connection)
      deadline = min(deadline, connection.exchange.deadline)
    }
    let timeout = deadline > now ? deadline - now : 0
    guard poll(&items, nfds_t(items.count), Int32(clamping: timeout)) > 0 else { return }
    now = Self.milliseconds(CLOCK_MONOTONIC)
    if items[0].revents != 0 { shared.waker.clear() }
    for (index, connection) in order.enumerated() {
      let ready = Int32(items[index + 2].revents)
      if ready != 0 { serve(connection, ready) }
    }
    if items[1].revents != 0 { admit() }
  }

  private func admit() {
    // A few in each round; who is here gets its turn in between.
    for _ in 0..<32 {
      switch listener.accept() {
      case nil: return
      case .failure(let failure):
        if failure.isLasting {
          acceptsFrom = now + 100
          return
        }
      case .success(let descriptor):
        if connections.count >= options.connections { makeRoom() }
        guard connections.count < options.connections else {
          close(descriptor)
          continue
        }
        last += 1
        connections[last] = Connection(
          number: last, descriptor: descriptor, exchange: HTTPExchange(options.timing, at: now))
      }
    }
  }

  /// Lets go of the connection that has waited longest for a request, idle ones first: whoever holds connections open without asking
  /// anything keeps nobody else out.
  private func makeRoom() {
    func rank(_ exchange: borrowing HTTPExchange) -> Int? {
      switch exchange.phase {
      case .reading: exchange.isIdle ? 0 : 1
      case .lingering, .closed: 0
      case .writing: 2
      // It asked, and will be answered.
      case .answering: nil
      }
    }
    var oldest: (rank: Int, deadline: UInt64, number: UInt64)?
    for connection in connections.values {
      guard let rank = rank(connection.exchange) else { continue }
      let candidate = (rank, connection.exchange.deadline, connection.number)
      if let current = oldest, candidate >= (current.rank, current.deadline, current.number) { continue }
      oldest = candidate
    }
    if let oldest { connections[oldest.number] = nil }
  }

  private func expire() {
    for connection in connections.values where now >= connection.exchange.deadline {
      follow(connection, connection.exchange.expire(at: now))
      settle(connection)
    }
  }

  private func deliver() {
    for answer in shared.take() {
      guard let connection = connections[answer.connection] else { continue }
      send(answer.response, to: connection)
      settle(connection)
    }
  }

  // MARK: One connection

  private func serve(_ connection: Connection, _ ready: Int32) {
    if ready & (POLLERR | POLLNVAL) != 0 { connection.exchange.close() }
    if ready & POLLHUP != 0, !connection.exchange.wantsInput { connection.exchange.close() }
    if ready & POLLOUT != 0 { write(connection) }
    if ready & (POLLIN | POLLHUP) != 0, connection.exchange.wantsInput { read(connection) }
    settle(connection)
  }

  private func read(_ connection: Connection) {
    let count = Glibc.read(connection.descriptor, &buffer, buffer.count)
    if count > 0 {
      follow(connection, connection.exchange.received(buffer[..<count], at: now))
    } else if count == 0 {
      connection.exchange.ended()
    } else if errno != EAGAIN, errno != EINTR {
      connection.exchange.close()
    }
  }

  private func write(_ connection: Connection) {
    // Until the socket is full, or a pipelined request has to be answered elsewhere.
    while connection.exchange.phase == .writing {
      let count = connection.exchange.output.withUnsafeBytes { bytes in
        // A closed connection is an error code, not a signal.
        Glibc.send(connection.descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else {
        if errno != EAGAIN, errno != EINTR { connection.exchange.close() }
        return
      }
      follow(connection, connection.exchange.sent(count, at: now))
    }
  }

  private func follow(_ connection: Connection, _ step: HTTPExchange.Step) {
    switch step {
    case .wait: break
    case .refuse(let status, let message): send(.text(status, message), to: connection)
    case .answer(let request): answer(request, connection)
    }
  }

  private func answer(_ request: HTTPRequest, _ connection: Connection) {
    guard hosts.admits(request.host) else {
      return send(
        .text(.misdirected, "this server has another name: use its address, or start it with --http-host"),
        to: connection)
    }
    switch content.answer(request) {
    case .now(let response): send(response, to: connection)
    case .later(let body):
      if !shared.make(body, for: connection.number, limit: options.waitingAnswers) {
        var response = HTTPResponse.text(.unavailable, "too many questions at once")
        response.fields.append(("Retry-After", "1"))
        send(response, to: connection)
      }
    }
  }

  private func send(_ response: HTTPResponse, to connection: Connection) {
    connection.exchange.answer(response, at: now, time: Int(Self.milliseconds(CLOCK_REALTIME) / 1_000))
    // Written by the next round, when the socket says that it can: no recursion along a pipeline of requests.
  }

  /// Lets go of what has ended.
  private func settle(_ connection: Connection) {
    if connection.exchange.phase == .lingering, !connection.hasShutDown {
      connection.hasShutDown = true
      shutdown(connection.descriptor, Int32(SHUT_WR))
    }
    if connection.exchange.phase == .closed { connections[connection.number] = nil }
  }

  private static func milliseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
  }
}
