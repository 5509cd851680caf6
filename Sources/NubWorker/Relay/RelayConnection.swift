internal import CNubRelay
internal import Glibc

/// A peer, libzmq's end, and what is between them. Relay thread only.
final class RelayConnection {
  /// Bytes that are read at once, and so the most that a direction holds.
  static let chunk = 32 << 10
  /// Reads and writes of one turn; then the others have theirs.
  private static let turnSteps = 16

  /// The door's number.
  let door: Int
  /// The socket of the door that it belongs to.
  let node: RelayNode
  /// The peer's IP address; empty on a unix socket.
  let address: String
  let since: Monotonic
  private(set) var flow = RelayFlow()
  private var peer: Descriptor?
  private let inner: Descriptor
  private var upRest = RelayRest()
  private var downRest = RelayRest()
  /// Whether it waits for a turn.
  var isQueued = false
  /// Whether it counts as one whose peer has hung up.
  var isLeaving = false
  /// Whether libzmq has said something, which it does as soon as it has accepted.
  private(set) var isGreeted = false

  init(
    door: Int, node: RelayNode, address: String, since: Monotonic, peer: consuming Descriptor,
    inner: consuming Descriptor
  ) {
    self.door = door
    self.node = node
    self.address = address
    self.since = since
    self.peer = consume peer
    self.inner = consume inner
  }

  /// - Returns: whether the kernel will tell of both sides.
  func watch(_ epoll: borrowing Descriptor, peerTag: UInt64, innerTag: UInt64) -> Bool {
    nub_relay_watch(epoll.number, peerNumber, peerTag) >= 0
      && nub_relay_watch(epoll.number, inner.number, innerTag) >= 0
  }

  func peerChanged(_ event: nub_relay_event) {
    flow.peerChanged(
      readable: event.readable != 0, writable: event.writable != 0, ending: event.ended != 0,
      gone: event.gone != 0)
  }

  func innerChanged(_ event: nub_relay_event) {
    flow.innerChanged(
      readable: event.readable != 0, writable: event.writable != 0, ending: event.ended != 0,
      gone: event.gone != 0)
  }

  /// Moves what can be moved.
  ///
  /// - Parameter scratch: ``chunk`` bytes for the length of a step.
  /// - Returns: whether there is more to do at once.
  func turn(_ scratch: UnsafeMutableRawPointer) -> Bool {
    for _ in 0..<Self.turnSteps {
      let up = flow.up.step
      let down = flow.down.step
      if up == .rest, down == .rest || down == .end { break }
      move(up, &flow.up, from: peerNumber, to: inner.number, &upRest, scratch)
      // Over with libzmq's end: there is nothing to tell the peer but that.
      if down != .end { move(down, &flow.down, from: inner.number, to: peerNumber, &downRest, scratch) }
      if flow.isOver { return false }
    }
    if flow.isPeerDone { peer = nil }
    return flow.up.step != .rest || flow.down.step == .read || flow.down.step == .write
  }

  private var peerNumber: Int32 {
    guard let number = peer?.number else { return -1 }
    return number
  }

  private func move(
    _ step: RelayDirection.Step, _ direction: inout RelayDirection, from source: Int32, to sink: Int32,
    _ rest: inout RelayRest,
    _ scratch: UnsafeMutableRawPointer
  ) {
    switch step {
    case .rest: return
    case .end:
      _ = nub_relay_end_writing(sink)
      direction.endIsPassedOn()
    case .write:
      guard let bytes = rest.bytes else { return }
      rest.drop(write(bytes, &direction, sink))
      if direction.waiting == 0 { rest.free() }
    case .read:
      let count = Int(nub_relay_read(source, scratch, Self.chunk))
      guard count > 0 else {
        if count == -Int(EAGAIN) { direction.sourceIsEmpty() } else { direction.sourceEnded() }
        return
      }
      if source == inner.number { isGreeted = true }
      direction.didRead(count, of: Self.chunk)
      guard !direction.isSinkGone else { return }
      let bytes = UnsafeRawBufferPointer(start: scratch, count: count)
      let written = write(bytes, &direction, sink)
      if direction.waiting > 0 { rest.keep(UnsafeRawBufferPointer(rebasing: bytes[written...])) }
    }
  }

  /// - Returns: how much of it was taken.
  private func write(_ bytes: UnsafeRawBufferPointer, _ direction: inout RelayDirection, _ sink: Int32) -> Int
  {
    let count = Int(nub_relay_write(sink, bytes.baseAddress, bytes.count))
    if count >= 0 {
      direction.didWrite(count)
      return count
    }
    switch Int32(-count) {
    case EAGAIN: direction.sinkIsFull()
    // The kernel has no memory at this moment: it is tried again.
    case ENOBUFS, ENOMEM: break
    default: direction.sinkIsGone()
    }
    return 0
  }
}

/// What was read and could not be written; holds memory only then.
struct RelayRest: ~Copyable {
  private var memory: UnsafeMutableRawPointer?
  private var start = 0
  private var end = 0

  deinit { memory?.deallocate() }

  var bytes: UnsafeRawBufferPointer? {
    guard let memory else { return nil }
    return UnsafeRawBufferPointer(start: memory + start, count: end - start)
  }

  /// - Parameter bytes: at most ``RelayConnection/chunk``; nothing is kept yet.
  mutating func keep(_ bytes: UnsafeRawBufferPointer) {
    guard let source = bytes.baseAddress else { return }
    let place = memory ?? .allocate(byteCount: RelayConnection.chunk, alignment: 64)
    place.copyMemory(from: source, byteCount: bytes.count)
    memory = place
    start = 0
    end = bytes.count
  }

  mutating func drop(_ count: Int) { start += count }

  mutating func free() {
    memory?.deallocate()
    memory = nil
  }
}

/// A socket of libzmq's that waits for its peer.
final class RelayWaiting {
  private var inner: Descriptor?

  init(_ inner: consuming Descriptor) { self.inner = consume inner }

  func take() -> Descriptor? { inner.take() }
}
