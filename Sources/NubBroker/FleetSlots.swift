public import NubSecurity
public import NubZMQ

/// Many ``MajordomoWorker``s with their sockets, for one thread's poll loop: what gives a process more than the one request in
/// flight that a Majordomo worker has.
///
/// The thread adds the sockets to its ``PollSet`` whenever ``generation`` has changed, waits until ``deadline`` at most, calls
/// ``step(_:at:deliver:)``, and answers with ``reply(to:with:from:at:)``.
public final class FleetSlots {
  /// Which request of which slot: goes with it through the worker and back.
  public struct Ticket: Sendable, Hashable {
    /// Bytes of ``bytes``.
    static let byteCount = 20
    let slot: UInt32
    let request: MajordomoWorker.Request

    /// For an envelope frame.
    var bytes: [UInt8] {
      var bytes: [UInt8] = []
      withUnsafeBytes(of: slot.littleEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: request.conversation.littleEndian) { bytes.append(contentsOf: $0) }
      withUnsafeBytes(of: request.number.littleEndian) { bytes.append(contentsOf: $0) }
      return bytes
    }

    init(slot: UInt32, request: MajordomoWorker.Request) {
      self.slot = slot
      self.request = request
    }

    init?(_ bytes: [UInt8]) {
      guard bytes.count == Self.byteCount else { return nil }
      func number(_ range: Range<Int>) -> UInt64 {
        range.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
      }
      slot = UInt32(truncatingIfNeeded: number(0..<4))
      request = MajordomoWorker.Request(conversation: number(4..<12), number: number(12..<20))
    }
  }

  /// Where and how to connect.
  public struct Options: Sendable {
    public var endpoint: String
    public var curve: CurveClient?
    public var timing = MajordomoWorker.Timing()
    /// The largest frame in bytes that is read from the broker.
    public var frameBytes = (16 << 20) + (64 << 10)
    public var message = Multipart.Limits(frames: 5 + 8 + 6 + 256, bytes: 64 << 20)
    public init(endpoint: String) { self.endpoint = endpoint }
  }

  /// A socket that comes and goes.
  private final class Connection {
    var socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
  }

  private final class Slot {
    var machine: MajordomoWorker
    var connection: Connection?
    var pollItem: Int?
    init(_ machine: consuming MajordomoWorker) { self.machine = machine }
  }

  private let context: Context
  private let options: Options
  private var slots: [Slot] = []
  /// Changes when sockets were made or closed: the poll set must be made again.
  public private(set) var generation: UInt64 = 0

  /// - Parameter services: each gets `count` slots of its own.
  public init(context: Context, options: Options, services: [String], count: Int) {
    self.context = context
    self.options = options
    for service in services {
      for _ in 0..<count {
        slots.append(
          Slot(MajordomoWorker(service: service, timing: options.timing, seed: UInt64(slots.count + 1))))
      }
    }
  }

  /// Tries the endpoint and the keys, which would otherwise show in nothing but silence.
  /// - Throws: ``ZMQError`` when no socket can be made with them.
  public func check() throws(ZMQError) { _ = try open() }

  /// When the next slot has something to do; `nil` when all have stopped.
  public var deadline: UInt64? { slots.compactMap { $0.machine.deadline }.min() }
  public var isStopped: Bool { slots.allSatisfy { $0.machine.isStopped } }
  public var busy: Int { slots.count { $0.machine.isBusy } }

  /// Sums over all slots.
  public var counters: MajordomoWorker.Counters {
    slots.reduce(into: MajordomoWorker.Counters()) {
      $0.requests += $1.machine.counters.requests
      $0.replies += $1.machine.counters.replies
      $0.reconnects += $1.machine.counters.reconnects
      $0.dropped += $1.machine.counters.dropped
      $0.lateReplies += $1.machine.counters.lateReplies
    }
  }

  /// Adds the open sockets to a new poll set.
  public func add(to poll: inout PollSet) {
    for slot in slots {
      slot.pollItem = slot.connection.map { poll.add($0.socket, for: .readable) }
    }
  }

  /// Moves time on, and takes what has arrived.
  ///
  /// - Parameter deliver: given each request's ticket, the message that it came in, and the index of its first body frame.
  public func step(
    _ poll: borrowing PollSet, at now: UInt64, deliver: (Ticket, Multipart, Int) throws(ZMQError) -> Void
  ) throws(ZMQError) {
    for (index, slot) in slots.enumerated() {
      if let due = slot.machine.deadline, due <= now {
        try perform(slot.machine.tick(at: now), slot, index, nil, now, deliver)
      }
      guard let item = slot.pollItem, !poll.readiness(item).isEmpty else { continue }
      // A slot has one request at a time, so few messages are enough; a flood of others must not starve the rest.
      for _ in 0..<8 {
        guard slot.pollItem != nil, let message = try receive(slot) else { break }
        try perform(slot.machine.receive(message, at: now), slot, index, message, now, deliver)
      }
    }
  }

  /// Sends a reply, whose body are the frames of `message` from `start` on.
  /// - Returns: `false` when its conversation is over and it went nowhere.
  @discardableResult
  public func reply(
    to ticket: Ticket, with message: Multipart, from start: Int, at now: UInt64
  ) throws(ZMQError) -> Bool {
    guard slots.indices.contains(Int(ticket.slot)) else { return false }
    let slot = slots[Int(ticket.slot)]
    guard let head = slot.machine.reply(to: ticket.request, at: now) else { return false }
    try send(slot, head, message, start)
    try perform(slot.machine.afterReply(at: now), slot, Int(ticket.slot), nil, now) { _, _, _ in }
    return true
  }

  /// Says goodbye in every slot, busy ones after their replies.
  public func stop(at now: UInt64) throws(ZMQError) {
    for (index, slot) in slots.enumerated() {
      try perform(slot.machine.stop(at: now), slot, index, nil, now) { _, _, _ in }
    }
  }

  /// Takes requests again after a ``stop(at:)``.
  public func resume(at now: UInt64) {
    for slot in slots { slot.machine.resume(at: now) }
  }

  /// Says goodbye at once.
  public func abandon(at now: UInt64) throws(ZMQError) {
    for (index, slot) in slots.enumerated() {
      try perform(slot.machine.abandon(at: now), slot, index, nil, now) { _, _, _ in }
    }
  }

  private func perform(
    _ actions: [MajordomoWorker.Action], _ slot: Slot, _ index: Int, _ message: Multipart?, _ now: UInt64,
    _ deliver: (Ticket, Multipart, Int) throws(ZMQError) -> Void
  ) throws(ZMQError) {
    for action in actions {
      switch action {
      case .open:
        do throws(ZMQError) {
          slot.connection = Connection(try open())
        } catch  where error.code != .terminated {
          // No descriptors left, for example: that may pass, and the slots that have a socket serve on.
          slot.machine.openFailed(at: now)
          return
        }
        slot.pollItem = nil
        generation += 1
      case .close:
        slot.connection = nil
        slot.pollItem = nil
        generation += 1
      case .send(let frames):
        // A pipe that takes no heartbeat has a broker behind it that does not read: liveness will tell.
        _ = try slot.connection?.socket.send(frames: frames, wait: false)
      case .deliver(let request, let body):
        guard let message else { continue }
        try deliver(Ticket(slot: UInt32(index), request: request), message, body)
      }
    }
  }

  private func receive(_ slot: Slot) throws(ZMQError) -> Multipart? {
    guard let connection = slot.connection else { return nil }
    return try Multipart.receive(from: &connection.socket, options.message)
  }

  private func send(_ slot: Slot, _ head: [[UInt8]], _ message: Multipart, _ start: Int) throws(ZMQError) {
    guard let connection = slot.connection else { return }
    // False: the broker does not read. Its asker asks again.
    _ = try message.send(on: &connection.socket, head: head, from: start)
  }

  private func open() throws(ZMQError) -> Socket {
    var socket = try Socket(context, .dealer)
    // A goodbye and a last reply may leave; a broker that is away holds nothing up for long.
    try socket.set(.linger, 500)
    try socket.set(.maxMessageSize, Int64(options.frameBytes))
    // The first READY waits for the connection: without IMMEDIATE 0 it would have nowhere to wait.
    try socket.set(.immediate, 0)
    try socket.set(.receiveHighWaterMark, 16)
    try socket.set(.sendHighWaterMark, 64)
    try socket.set(.handshakeInterval, 10_000)
    try socket.set(.reconnectInterval, 100)
    try socket.set(.reconnectIntervalMax, 5_000)
    if let curve = options.curve { try curve.apply(to: &socket) }
    try socket.connect(options.endpoint)
    return socket
  }
}
