internal import Glibc
public import Logging
internal import NubSecurity
public import NubZMQ
internal import Synchronization

/// The fleet door: a thread that is `slots` Majordomo workers towards a broker, and one producer towards a worker's direct
/// door. It adds no rules of its own to the job protocol; what comes in here is answered by the same code as anywhere.
///
/// Each slot exists twice, as the service and as `SERVICE.WORKER`, so that `cancel` and `get_result` can be sent to the worker
/// that a reply named.
public final class FleetBridge: Sendable {
  public struct Options: Sendable {
    public var slots: FleetSlots.Options
    /// What the fleet calls the service, and this worker within it.
    public var service: String
    public var worker: String
    /// Requests in flight towards each of the two names.
    public var count = 64
    /// The worker's direct door, in the same context when it is `inproc`.
    public var door: String

    public init(broker: String, service: String, worker: String, door: String) {
      slots = FleetSlots.Options(endpoint: broker)
      self.service = service
      self.worker = worker
      self.door = door
    }
  }

  /// What happened so far.
  public struct Statistics: Sendable, Equatable {
    public var slots = MajordomoWorker.Counters()
    public var busy = 0
    /// Requests that were answered here because the worker could not have answered them.
    public var refused: UInt64 = 0
  }

  private enum Wish: Int {
    case serve, drain, leave
  }

  private let waker: Waker
  private let wish = Atomic<Int>(Wish.serve.rawValue)
  private let thread: Mutex<pthread_t?> = Mutex(nil)
  private let shared = Mutex(Statistics())

  /// Connects, and starts serving.
  /// - Throws: ``ZMQError`` when there are no sockets, descriptors or threads left, or a name or endpoint is none.
  public init(context: Context, options: Options, logger: Logger) throws(ZMQError) {
    waker = try Waker()
    let names = [options.service, "\(options.service).\(options.worker)"]
    guard names.allSatisfy(MajordomoWorker.isServiceName), (1...4_096).contains(options.count) else {
      throw ZMQError(code: .invalidArgument, operation: "fleet door for service \(options.service)")
    }
    var door = try Socket(context, .dealer)
    try door.set(.linger, 0)
    // Slots bound what is under way; libzmq's own bound would only drop.
    try door.set(.sendHighWaterMark, 0)
    try door.set(.receiveHighWaterMark, 0)
    try door.connect(options.door)
    let slots = FleetSlots(context: context, options: options.slots, services: names, count: options.count)
    try slots.check()
    try start(Loop(slots: slots, door: door, bridge: self, options: options, logger: logger))
  }

  public var statistics: Statistics { shared.withLock { $0 } }

  /// Takes no more requests; what is in hand is still answered. From any thread.
  public func drain() {
    wish.max(Wish.drain.rawValue, ordering: .relaxed)
    waker.wake()
  }

  /// Takes requests again after ``drain()``. From any thread.
  public func resume() {
    // Never back from the end.
    _ = wish.compareExchange(
      expected: Wish.drain.rawValue, desired: Wish.serve.rawValue, ordering: .relaxed)
    waker.wake()
  }

  /// Ends: at once what is in hand, and waits for the thread. Call it before the context ends, once.
  public func stop() {
    wish.max(Wish.leave.rawValue, ordering: .relaxed)
    waker.wake()
    if let thread = thread.withLock({ $0.take() }) { pthread_join(thread, nil) }
  }

  private func start(_ loop: Loop) throws(ZMQError) {
    let argument = Unmanaged.passRetained(loop)
    var created = pthread_t()
    let result = pthread_create(
      &created, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Loop>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw ZMQError(code: .init(rawValue: result), operation: "pthread_create for the fleet door")
    }
    let started = created
    thread.withLock { $0 = started }
  }

  /// The thread's own: made by the starter, used by the thread alone afterwards.
  private final class Loop {
    private let slots: FleetSlots
    private var door: Socket
    private let bridge: FleetBridge
    private let options: Options
    private let logger: Logger
    private var refused: UInt64 = 0
    private var isDraining = false
    /// What the log knows of lost conversations, and when it may be told of more.
    private var lostSeen: UInt64 = 0
    private var nextNote: UInt64 = 0

    init(slots: FleetSlots, door: consuming Socket, bridge: FleetBridge, options: Options, logger: Logger) {
      self.slots = slots
      self.door = door
      self.bridge = bridge
      self.options = options
      self.logger = logger
    }

    func run() {
      do throws(ZMQError) {
        try serve()
      } catch {
        if error.code != .terminated {
          logger.critical("the fleet door ended", metadata: ["error": "\(error)"])
        }
      }
    }

    private func serve() throws(ZMQError) {
      var poll = PollSet()
      var generation: UInt64?
      while true {
        let now = Self.now
        let wish = Wish(rawValue: bridge.wish.load(ordering: .relaxed)) ?? .leave
        if wish != .serve, !isDraining {
          isDraining = true
          try slots.stop(at: now)
        } else if wish == .serve, isDraining {
          isDraining = false
          slots.resume(at: now)
        }
        try takeReplies()
        if wish == .leave {
          try slots.abandon(at: now)
          return
        }
        if generation != slots.generation {
          poll = PollSet()
          poll.add(door, for: .readable)
          poll.add(fileDescriptor: bridge.waker.fileDescriptor, for: .readable)
          slots.add(to: &poll)
          generation = slots.generation
        }
        let due = slots.deadline ?? now + 1_000
        _ = try poll.wait(milliseconds: Int(clamping: due > now ? due - now : 0))
        bridge.waker.clear()
        try takeReplies()
        try slots.step(poll, at: Self.now) { (ticket, message, body) throws(ZMQError) in
          try self.forward(ticket, message, body)
        }
        publish()
      }
    }

    private func takeReplies() throws(ZMQError) {
      while let reply = try Multipart.receive(from: &door, options.slots.message) {
        guard let ticket = FleetSlots.Ticket(reply[0]) else { continue }
        try slots.reply(to: ticket, with: reply, from: 1, at: Self.now)
      }
    }

    private func forward(_ ticket: FleetSlots.Ticket, _ message: Multipart, _ body: Int) throws(ZMQError) {
      // The ticket is one envelope frame more, and a worker drops what it cannot answer: the slot would wait for ever.
      guard let job = JobMessage(message, body: body), job.envelope.count < JobMessage.envelopeFrames else {
        return try refuse(ticket, JobMessage.unreadable(.badRequest, "not a job with an id of 1 to 64 bytes"))
      }
      guard !message.isTruncated else {
        let text = "the message has too many frames or bytes"
        return try refuse(ticket, job.reply(.tooLarge, text, broker: options.worker))
      }
      guard try message.send(on: &door, head: [ticket.bytes], from: body) else {
        let text = "the worker does not take jobs now"
        return try refuse(ticket, job.reply(.unavailable, text, broker: options.worker, retryAfter: 500))
      }
    }

    private func refuse(_ ticket: FleetSlots.Ticket, _ frames: [[UInt8]]) throws(ZMQError) {
      refused += 1
      try slots.reply(to: ticket, with: Multipart(frames), from: 0, at: Self.now)
    }

    private func publish() {
      let current = Statistics(slots: slots.counters, busy: slots.busy, refused: refused)
      noteLostBroker(current.slots.reconnects)
      bridge.shared.withLock { $0 = current }
    }

    /// One line a second at most: all slots lose their broker at about the same time, and try again for as long as it is away.
    private func noteLostBroker(_ reconnects: UInt64) {
      let now = Self.now
      guard reconnects > lostSeen, now >= nextNote else { return }
      logger.warning(
        "the broker fell silent or was changed; registering again",
        metadata: ["endpoint": "\(options.slots.endpoint)", "slots": "\(reconnects - lostSeen)"])
      lostSeen = reconnects
      nextNote = now + 1_000
    }

    private static var now: UInt64 {
      var time = timespec()
      clock_gettime(CLOCK_MONOTONIC, &time)
      return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
    }
  }
}
