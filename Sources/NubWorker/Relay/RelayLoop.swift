internal import CNubRelay
internal import DequeModule
internal import Glibc
internal import Logging
internal import NubSecurity

/// The relay's thread: accepts, connects to the socket behind the door, and gives each connection its turn.
final class RelayLoop {
  /// Connections that libzmq has not accepted yet; others wait in the public backlog.
  private static let maximumSilent = 16
  /// Connections whose peers have hung up and whose last messages nobody has read yet. While a door is held up they stay, and
  /// each costs descriptors and memory; others wait in the public backlog.
  private static let maximumLeaving = 128
  /// Accepted at a door before those that are connected have their turn.
  private static let acceptedAtOnce = 16
  /// How long nobody is accepted when descriptors are short.
  private static let pauseMilliseconds = 100
  /// How long the end waits for libzmq.
  private static let stopMilliseconds = 2_000
  /// Within which libzmq ends a handshake that it does not like.
  private static let handshakeMilliseconds: UInt64 = 10_000
  private static let eventCount = 64
  /// What a relayed connection's kernel buffer towards libzmq holds: what is in it is lost when the worker dies.
  private static let bufferBytes: Int32 = 64 << 10

  private struct Entry {
    let door: RelayDoor
    var limiter: HandshakeLimiter?
    /// The door's socket, until somebody has been dialed for it.
    var waiting: RelayWaiting?
  }

  private let mailbox: RelayMailbox
  private let pulse: Pulse
  private let logger: Logger
  private let scratch: UnsafeMutableRawPointer
  private let events: UnsafeMutablePointer<nub_relay_event>
  private var doors: [Entry] = []
  private var table = RelayTable()
  /// Places of those that have something to do.
  private var ready: Deque<Int> = []
  private var silent = 0
  private var leaving = 0
  /// Nobody is accepted until then.
  private var pausedUntil: Monotonic?
  private let spareDescriptors: Int32
  private var isClosed = false
  private var hasToStop = false

  init(_ mailbox: RelayMailbox, pulse: Pulse, logger: Logger) {
    self.mailbox = mailbox
    self.pulse = pulse
    self.logger = logger
    scratch = .allocate(byteCount: RelayConnection.chunk, alignment: 4_096)
    events = .allocate(capacity: Self.eventCount)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    spareDescriptors = Int32(min(60, max(8, limit.rlim_cur / 64)))
  }

  deinit {
    scratch.deallocate()
    events.deallocate()
  }

  func run() {
    nub_relay_watch_listener(
      mailbox.epoll.number, mailbox.wakeup.fileDescriptor, RelayTable.tag(.wakeup, 0))
    var deadline: Monotonic?
    while true {
      pulse.rest()
      let found = nub_relay_wait(mailbox.epoll.number, events, Int32(Self.eventCount), patience(deadline))
      pulse.work()
      for index in 0..<max(0, Int(found)) { handle(events[index]) }
      // Those that have more to do have their next turn behind everybody else.
      for _ in 0..<ready.count { if let place = ready.popFirst() { turn(place) } }
      resumeAccepting()
      if deadline == nil, hasToStop {
        deadline = .now + Milliseconds(Self.stopMilliseconds)
      }
      if let deadline, table.count == 0 || Monotonic.now >= deadline { break }
    }
    pulse.rest()
  }

  private func patience(_ deadline: Monotonic?) -> Int32 {
    if !ready.isEmpty { return 0 }
    return deadline == nil && pausedUntil == nil ? -1 : Int32(Self.pauseMilliseconds)
  }

  private func handle(_ event: nub_relay_event) {
    switch RelayTable.side(event.tag) {
    case .wakeup: follow(mailbox.take())
    case .listener: accept(RelayTable.place(event.tag))
    case .peer:
      guard let connection = table.connection(event.tag) else { return }
      connection.peerChanged(event)
      queue(RelayTable.place(event.tag), connection)
    case .inner:
      guard let connection = table.connection(event.tag) else { return }
      connection.innerChanged(event)
      queue(RelayTable.place(event.tag), connection)
    }
  }

  private func follow(_ orders: RelayMailbox.Orders) {
    for door in orders.doors {
      doors.append(
        Entry(
          door: door, limiter: door.tally == nil ? nil : HandshakeLimiter(milliseconds: Self.milliseconds)))
      nub_relay_watch_listener(
        mailbox.epoll.number, door.listener, RelayTable.tag(.listener, doors.count - 1))
    }
    for dialed in orders.dialed { join(dialed) }
    if orders.isStopping { hasToStop = true }
    guard orders.isClosing || orders.isStopping, !isClosed else { return }
    isClosed = true
    for index in doors.indices {
      doors[index].door.dialer?.end()
      doors[index].waiting = nil
    }
    pause(milliseconds: .max)
  }

  // MARK: Accepting

  private func accept(_ index: Int) {
    for _ in 0..<Self.acceptedAtOnce where pausedUntil == nil {
      // Two for the connection here, one for libzmq, whose listeners end the process when there is none (EMFILE); the others are spare
      // because other threads want some, too.
      guard isAnybodyWelcome else { return pause(milliseconds: 0) }
      guard nub_relay_has_room(3 + spareDescriptors) != 0 else { return pause() }
      let number = nub_relay_accept(doors[index].door.listener)
      guard number >= 0 else {
        // Gone again, or no memory: neither is a reason to try at once.
        if number != -EAGAIN, number != -ECONNABORTED { pause() }
        return
      }
      if let dialer = doors[index].door.dialer {
        // libzmq has given up on the one before.
        doors[index].waiting = RelayWaiting(Descriptor(owning: number))
        dialer.dial()
      } else {
        admit(Descriptor(owning: number), index)
      }
    }
  }

  /// Brings a door's socket together with the peer that was dialed for it.
  private func join(_ dialed: RelayDialed) {
    guard let index = doors.firstIndex(where: { $0.door.dialer === dialed.dialer }),
      let node = doors[index].door.node,
      let inner = doors[index].waiting?.take(), let peer = dialed.take()
    else { return }
    doors[index].waiting = nil
    start(RelayConnection(door: index, node: node, address: "", since: .now, peer: peer, inner: inner))
  }

  /// Closes `peer` if it cannot be let in.
  private func admit(_ peer: consuming Descriptor, _ index: Int) {
    let door = doors[index].door
    let address = Self.address(peer)
    guard doors[index].limiter?.admits(address, milliseconds: Self.milliseconds) ?? true else {
      door.tally?.add(\.limited)
      return
    }
    // Without a node, or with one that nobody listens at any more, the door is being opened anew.
    guard let node = door.node else { return }
    let number = nub_relay_connect(node.descriptor.number, Self.bufferBytes)
    guard number >= 0 else { return }
    start(
      RelayConnection(
        door: index, node: node, address: address, since: .now, peer: peer, inner: Descriptor(owning: number))
    )
  }

  private func start(_ connection: RelayConnection) {
    let place = table.add(connection)
    silent += 1
    guard
      connection.watch(
        mailbox.epoll, peerTag: table.tag(.peer, place), innerTag: table.tag(.inner, place))
    else {
      close(place, connection)
      return
    }
    queue(place, connection)
  }

  private func pause(milliseconds: UInt64 = UInt64(RelayLoop.pauseMilliseconds)) {
    pausedUntil = .now + Milliseconds(milliseconds)
    setAccepting(false)
  }

  private func resumeAccepting() {
    guard let until = pausedUntil, !isClosed, isAnybodyWelcome, Monotonic.now >= until else { return }
    pausedUntil = nil
    setAccepting(true)
  }

  private var isAnybodyWelcome: Bool { silent < Self.maximumSilent && leaving < Self.maximumLeaving }

  private func setAccepting(_ isAccepting: Bool) {
    for (index, entry) in doors.enumerated() {
      nub_relay_pause_listener(
        mailbox.epoll.number, entry.door.listener, RelayTable.tag(.listener, index),
        isAccepting ? 0 : 1)
    }
  }

  // MARK: Connections

  private func queue(_ place: Int, _ connection: RelayConnection) {
    guard !connection.isQueued else { return }
    connection.isQueued = true
    ready.append(place)
  }

  private func turn(_ place: Int) {
    guard let connection = table[place], connection.isQueued else { return }
    connection.isQueued = false
    let wasGreeted = connection.isGreeted
    let hasMore = connection.turn(scratch)
    if connection.isGreeted, !wasGreeted { silent -= 1 }
    if connection.flow.hasPeerLeft, !connection.isLeaving {
      connection.isLeaving = true
      leaving += 1
    }
    if connection.flow.isOver { close(place, connection) } else if hasMore { queue(place, connection) }
  }

  private func close(_ place: Int, _ connection: RelayConnection) {
    if !connection.isGreeted { silent -= 1 }
    if connection.isLeaving { leaving -= 1 }
    noteRefusal(connection)
    table.remove(place)
  }

  /// libzmq ends a connection by itself when it does not admit the peer, or does not understand it.
  private func noteRefusal(_ connection: RelayConnection) {
    let index = connection.door
    guard doors[index].limiter != nil, !isClosed, !connection.flow.up.hasEnded,
      connection.node === doors[index].door.node,
      Monotonic.now.microseconds(since: connection.since) < Self.handshakeMilliseconds * 1_000
    else { return }
    doors[index].limiter?.noteRefusal(connection.address, milliseconds: Self.milliseconds)
    logger.info("a pipeline's peer was sent away", metadata: ["address": "\(connection.address)"])
  }

  private static func address(_ socket: borrowing Descriptor) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
      guard let start = text.baseAddress, nub_relay_peer_address(socket.number, start, text.count) == 0 else {
        return ""
      }
      return String(cString: start)
    }
  }

  private static var milliseconds: UInt64 { Monotonic.now.microseconds / 1_000 }
}
