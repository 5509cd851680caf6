/// One direction of a relayed connection: when it reads, when it writes, and how its end is passed on. A value without descriptors.
///
/// Nothing is read that could not be written at once, as far as the kernel says, so what a direction holds is the rest of one read.
struct RelayDirection {
  enum Step: Equatable {
    case read
    /// Write what waits.
    case write
    /// Tell the sink that no more will come.
    case end
    /// There is nothing to do until an event.
    case rest
  }

  /// Whether it goes on reading when nobody takes what it reads.
  let isDrained: Bool
  /// Bytes that were read and that the sink has not taken yet.
  private(set) var waiting = 0
  /// Until the kernel says otherwise both are tried.
  private(set) var isReadable = true
  private(set) var isWritable = true
  /// The source has hung up, and may have left something to read.
  private(set) var isEnding = false
  /// All of it has been read.
  private(set) var hasEnded = false
  private var isEndPassedOn = false
  /// Nobody takes anything any more.
  private(set) var isSinkGone = false

  init(isDrained: Bool) { self.isDrained = isDrained }

  var step: Step {
    if isSinkGone { return isDrained && isReadable && !hasEnded ? .read : .rest }
    if waiting > 0 { return isWritable ? .write : .rest }
    if hasEnded { return isEndPassedOn ? .rest : .end }
    return isReadable && isWritable ? .read : .rest
  }

  mutating func sourceIsReadable(ending: Bool) {
    isReadable = true
    if ending { isEnding = true }
  }

  mutating func sinkIsWritable() { isWritable = true }

  /// `count` bytes came out of the source, of `room` that were asked for.
  mutating func didRead(_ count: Int, of room: Int) {
    if !isSinkGone { waiting += count }
    // A stream that gives less than it was asked for is empty (epoll(7)); its end, though, is still to be read.
    if count < room, !isEnding { isReadable = false }
  }

  mutating func sourceIsEmpty() { isReadable = false }

  mutating func sourceEnded() {
    hasEnded = true
    isReadable = false
  }

  mutating func didWrite(_ count: Int) {
    waiting -= count
    if waiting > 0 { isWritable = false }
  }

  mutating func sinkIsFull() { isWritable = false }

  /// What waits is nobody's any more, and what is still read is thrown away.
  mutating func sinkIsGone() {
    isSinkGone = true
    waiting = 0
  }

  mutating func endIsPassedOn() { isEndPassedOn = true }
}

/// Both directions of a connection, and when it is over.
///
/// The peer's end is passed on as an end of writing alone, and libzmq is listened to until it has closed its side: so it never sees a
/// hang-up (EPOLLHUP) or a failed write while it may hold something that it has not read (docs/decisions/0413).
struct RelayFlow {
  /// From the peer to libzmq.
  var up = RelayDirection(isDrained: false)
  /// From libzmq to the peer. Somebody has to listen to libzmq for as long as it speaks.
  var down = RelayDirection(isDrained: true)
  /// libzmq has closed its side, so nothing can be waited for.
  private(set) var isInnerGone = false

  /// Whether the connection can be closed on both sides.
  var isOver: Bool {
    // Its last words, why a peer was refused for example, are given to who takes them at once.
    guard down.hasEnded || isInnerGone else { return false }
    return down.step == .rest || down.step == .end
  }

  /// Whether the peer has hung up, be what it sent before read or not.
  var hasPeerLeft: Bool { up.isEnding || up.hasEnded }

  /// Whether nothing comes from the peer any more and nothing can be said to it: its descriptor need not wait for libzmq.
  var isPeerDone: Bool { up.hasEnded && down.isSinkGone }

  mutating func peerChanged(readable: Bool, writable: Bool, ending: Bool, gone: Bool) {
    if readable { up.sourceIsReadable(ending: ending) }
    if writable { down.sinkIsWritable() }
    // What it had sent before is still to be read.
    if gone { down.sinkIsGone() }
  }

  mutating func innerChanged(readable: Bool, writable: Bool, ending: Bool, gone: Bool) {
    if readable { down.sourceIsReadable(ending: ending) }
    if writable { up.sinkIsWritable() }
    if gone {
      isInnerGone = true
      up.sinkIsGone()
    }
  }
}
