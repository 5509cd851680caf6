internal import Glibc
public import Logging
public import NubSecurity
public import NubZMQ
internal import Synchronization

/// A ``Broker`` on a ROUTER socket: clients and workers meet at the same endpoints. `run` serves on the calling thread.
public struct BrokerServer: ~Copyable {
  /// What the socket may take from one peer, and how long a stop waits. Times in milliseconds.
  public struct Options: Sendable {
    /// The largest frame in bytes; a peer that sends a larger one is cut off.
    public var frameBytes = (16 << 20) + (64 << 10)
    /// The largest message in bytes, and its frames: envelope, job and caps.
    public var message = Multipart.Limits(frames: 8 + 6 + 256 + 8, bytes: 64 << 20)
    /// How long a stop waits for what workers have in hand.
    public var drain: UInt64 = 10_000
    /// Between lines of statistics in the log; 0 for none.
    public var logStatistics: UInt64 = 60_000
    /// Called by the serving thread at least twice a second as long as it goes round, and when it begins to drain: its turns are its
    /// progress. For a supervisor that wants to hear it.
    public var onTurn: (@Sendable (_ isDraining: Bool, _ waiting: Int) -> Void)?
    /// Resident bytes of the process over which the endpoints are closed and opened again, because libzmq bounds messages and not
    /// what is never finished; 0: never.
    public var residentBytes = ProcessMemory.defaultLimit
    public init() {}
  }

  /// Stops a server, from any thread or signal handler.
  public final class Stopper: Sendable {
    let waker: Waker
    private let wishes = Atomic<Int>(0)

    public init() throws(ZMQError) { waker = try Waker() }

    /// The first call drains, a second one ends at once.
    public func stop() {
      wishes.add(1, ordering: .relaxed)
      waker.wake()
    }

    var count: Int { wishes.load(ordering: .relaxed) }
  }

  /// The endpoints as bound, with wildcards resolved.
  public let endpoints: [String]
  /// What it is doing, for its operator.
  public let board = BrokerBoard()
  private var broker: Broker
  private var socket: Socket
  /// `nil`: everybody is admitted, with every role.
  private let authenticator: Authenticator?
  private let context: Context
  private let curve: CurveServer?
  private var memory: MemoryGuard
  private let stopper: Stopper
  private let options: Options
  private let logger: Logger
  /// How many lost workers the log knows of.
  private var lostSeen: UInt64 = 0
  private let heartbeat: UInt64
  private var reopened: UInt64 = 0

  /// Binds the endpoints.
  ///
  /// - Parameters:
  ///   - curve: keys for CURVE, and the handler that admits peers; must be of the same `context`.
  public init(
    context: Context, endpoints: [String], configuration: BrokerConfiguration = BrokerConfiguration(),
    options: Options = Options(), curve: (server: CurveServer, authenticator: Authenticator)? = nil,
    stopper: Stopper, logger: Logger
  ) throws(ZMQError) {
    var socket = try Self.open(context, options, curve?.server)
    var bound: [String] = []
    for endpoint in endpoints {
      try socket.bind(endpoint)
      bound.append(try socket.lastEndpoint())
    }
    self.endpoints = bound
    self.socket = socket
    self.options = options
    self.context = context
    self.curve = curve?.server
    memory = MemoryGuard(limit: options.residentBytes, stages: 1)
    self.stopper = stopper
    self.logger = logger
    authenticator = curve?.authenticator
    heartbeat = configuration.heartbeat
    broker = Broker(configuration)
  }

  private static func open(
    _ context: Context, _ options: Options, _ curve: CurveServer?
  ) throws(ZMQError) -> Socket {
    var socket = try Socket(context, .router)
    try configure(&socket, options)
    if let curve { try curve.apply(to: &socket) }
    return socket
  }

  private static func configure(_ socket: inout Socket, _ options: Options) throws(ZMQError) {
    // Replies that have just been sent may leave; nothing hangs at exit.
    try socket.set(.linger, 1_000)
    // A peer that is gone or does not read is an error to act on, and never a wait: it stalls nobody else.
    try socket.set(.routerMandatory, 1)
    // A new connection never takes over the routing id, and with it the replies, of one that exists.
    try socket.set(.routerHandover, 0)
    try socket.set(.maxMessageSize, Int64(options.frameBytes))
    // The broker's own queues are the ones that are meant to fill, and a peer whose messages libzmq holds up could end the process, with
    // ZMTP's heartbeats on or with its own (docs/decisions/0412). What comes in faster than it is refused counts for the memory's limit.
    try socket.set(.receiveHighWaterMark, 0)
    try socket.set(.sendHighWaterMark, 1_000)
    try socket.set(.handshakeInterval, 10_000)
    // It finds dead clients, for which MDP has no heartbeats.
    try socket.keepAlive()
    try socket.set(.backlog, 1_024)
  }

  /// Serves until it is stopped.
  public mutating func run() throws(ZMQError) {
    var poll = PollSet()
    var item = addAll(to: &poll)
    var nextLook: UInt64 = 0
    var nextLog = Self.now.monotonic &+ options.logStatistics
    var drained: UInt64?
    var nextReport: UInt64 = 0
    var nextTurn: UInt64 = 0
    while true {
      let now = Self.now
      broker.tick(at: now)
      noteLostWorkers()
      if now.monotonic >= nextReport {
        var snapshot = broker.snapshot(at: now, isDraining: drained != nil)
        snapshot.reopened = reopened
        board.set(snapshot)
        nextReport = now.monotonic &+ 1_000
      }
      try flush()
      if now.monotonic >= nextLook {
        nextLook = now.monotonic &+ Self.lookMilliseconds
        if try guardMemory(now) {
          poll = PollSet()
          item = addAll(to: &poll)
        }
      }
      if drained == nil, stopper.count > 0 {
        logger.info("draining")
        broker.drain()
        drained = now.monotonic &+ options.drain
        nextTurn = 0
        try flush()
      }
      if let onTurn = options.onTurn, now.monotonic >= nextTurn {
        onTurn(drained != nil, broker.waiting)
        nextTurn = now.monotonic &+ 400
      }
      if let drained, broker.isIdle || now.monotonic >= drained || stopper.count > 1 { break }
      if options.logStatistics > 0, now.monotonic >= nextLog {
        logger.info("statistics", metadata: ["state": "\(broker.statistics(at: now))"])
        nextLog = now.monotonic &+ options.logStatistics
      }
      let wait = broker.deadline > now.monotonic ? broker.deadline - now.monotonic : 0
      _ = try poll.wait(milliseconds: Int(clamping: min(wait, heartbeat, Self.lookMilliseconds)))
      stopper.waker.clear()
      if poll.readiness(item).contains(.readable) { try receive() }
    }
    broker.disconnectWorkers()
    try flush()
    logger.info("stopped", metadata: ["state": "\(broker.statistics(at: Self.now))"])
  }

  /// One line for all slots that fell silent since the last look: a worker that dies takes all of its own with it.
  private mutating func noteLostWorkers() {
    let lost = broker.counters.workersLost
    guard lost > lostSeen else { return }
    logger.warning(
      "workers fell silent; what they had goes to others",
      metadata: [
        "slots": "\(lost - lostSeen)", "left": "\(broker.workers.count)", "waiting": "\(broker.waiting)",
      ])
    lostSeen = lost
  }

  /// Milliseconds between looks at the memory.
  private static var lookMilliseconds: UInt64 { 250 }

  private func addAll(to poll: inout PollSet) -> Int {
    let item = poll.add(socket, for: .readable)
    poll.add(fileDescriptor: stopper.waker.fileDescriptor, for: .readable)
    return item
  }

  /// - Returns: whether the socket is another one now.
  private mutating func guardMemory(_ now: BrokerTime) throws(ZMQError) -> Bool {
    guard memory.limit > 0 else { return false }
    let resident = ProcessMemory.resident
    switch memory.look(resident: resident, at: now.monotonic) {
    case .nothing: return false
    case .trim:
      ProcessMemory.trim()
      return false
    case .reopen:
      logger.warning(
        "resident memory is over its limit: the endpoints are closed and opened again",
        metadata: ["bytes": "\(resident)", "limit": "\(memory.limit)"])
      try socket.set(.linger, 0)
      broker.forgetPeers()
      socket = try Self.open(context, options, curve)
      for endpoint in endpoints { try socket.bindAgain(endpoint) }
      ProcessMemory.trim()
      reopened += 1
      return true
    case .giveUp:
      logger.error(
        "resident memory stays over its limit; it is not the socket that holds it",
        metadata: ["bytes": "\(resident)", "limit": "\(memory.limit)"])
      return false
    }
  }

  /// Takes what has arrived, up to a round's share: time must pass for heartbeats and deadlines under any load.
  private mutating func receive() throws(ZMQError) {
    let now = Self.now
    for _ in 0..<256 {
      guard let message = try Multipart.receive(from: &socket, options.message) else { return }
      let principal =
        authenticator.map { $0.keys.principal(forUserID: message.property("User-Id")) } ?? .anonymous
      broker.receive(message, from: principal, at: now)
      try flush()
    }
  }

  private mutating func flush() throws(ZMQError) {
    while let outbound = broker.nextOutbound() {
      do throws(ZMQError) {
        let head = [outbound.peer] + outbound.head
        let sent =
          if let body = outbound.body {
            try body.send(on: &socket, head: head, from: outbound.bodyStart)
          } else {
            try socket.send(frames: head, wait: false)
          }
        if !sent { broker.undeliverable(outbound, at: Self.now) }
      } catch  where error.code == .hostUnreachable {
        broker.undeliverable(outbound, at: Self.now)
      }
    }
  }

  private static var now: BrokerTime {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    var wall = timespec()
    clock_gettime(CLOCK_REALTIME, &wall)
    return BrokerTime(
      monotonic: UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000,
      unix: Int64(wall.tv_sec) * 1_000 + Int64(wall.tv_nsec) / 1_000_000)
  }
}
