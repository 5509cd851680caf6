internal import NubZMQ
internal import CNubRelay
internal import Glibc
internal import Synchronization

/// Connects to where a door says, again and again until it succeeds, on a thread of its own: a name may take long to look up.
final class RelayDialer: Sendable {
  /// Milliseconds between attempts, doubling, as libzmq is told to do (`ZMQ_RECONNECT_IVL`).
  private static let firstPause: UInt64 = 100
  private static let longestPause: UInt64 = 10_000
  private static let patienceSeconds: Int32 = 10

  private enum Wish {
    case nothing
    case connection
    case end
  }

  /// As libzmq takes it.
  let address: String
  private let wish = Monitor(Wish.nothing)

  init(_ address: String) { self.address = address }

  /// Starts the thread, which nobody waits for: at its end it may be in the middle of something.
  func start(onConnected: @escaping @Sendable (RelayDialed) -> Void) throws(WorkerError) {
    try WorkerThread(name: "nub-dial") { self.run(onConnected) }.detach()
  }

  /// Asks for one connection.
  func dial() {
    wish.withLock { if $0 == .nothing { $0 = .connection } }
    wish.broadcast()
  }

  func end() {
    wish.withLock { $0 = .end }
    wish.broadcast()
  }

  private func run(_ onConnected: (RelayDialed) -> Void) {
    while true {
      let next = wish.wait { $0 == .nothing ? nil : $0 }
      guard next != .end else { return }
      var pause = Self.firstPause
      while true {
        let number = connect()
        if number >= 0 {
          wish.withLock { if $0 == .connection { $0 = .nothing } }
          onConnected(RelayDialed(self, Descriptor(owning: number)))
          break
        }
        let isOver = wish.wait(until: .now + Milliseconds(pause)) { $0 == .end ? true : nil }
        if isOver == true { return }
        pause = min(2 * pause, Self.longestPause)
      }
    }
  }

  private func connect() -> Int32 {
    if address.hasPrefix("ipc://") { return nub_relay_dial_path(String(address.dropFirst(6))) }
    guard let place = Place(address) else { return -EINVAL }
    let number = nub_relay_dial(
      place.host, place.port, place.source?.host, place.source?.port, Self.patienceSeconds)
    if number >= 0 { Socket.KeepAlive.set(on: number) }
    return number
  }

  /// A TCP endpoint's parts (zmq_tcp(7)).
  struct Place: Equatable {
    var host: String
    var port: String
    /// Where to connect from.
    var source: (host: String?, port: String)?

    init?(_ address: String) {
      guard address.hasPrefix("tcp://") else { return nil }
      let parts = address.dropFirst(6).split(separator: ";", omittingEmptySubsequences: false)
      guard parts.count <= 2, let last = parts.last, let (host, port) = Self.split(last) else { return nil }
      self.host = host
      self.port = port
      if parts.count == 2 {
        guard let (host, port) = Self.split(parts[0]) else { return nil }
        source = (host == "*" ? nil : host, port == "*" ? "0" : port)
      }
    }

    private static func split(_ text: Substring) -> (String, String)? {
      guard let colon = text.lastIndex(of: ":") else { return nil }
      return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }

    static func == (a: Place, b: Place) -> Bool {
      a.host == b.host && a.port == b.port && a.source?.host == b.source?.host
        && a.source?.port == b.source?.port
    }
  }
}

/// A connection that was asked for.
final class RelayDialed: Sendable {
  let dialer: RelayDialer
  private let descriptor: Mutex<Descriptor?>

  init(_ dialer: RelayDialer, _ descriptor: consuming sending Descriptor) {
    self.dialer = dialer
    self.descriptor = Mutex(consume descriptor)
  }

  /// Its descriptor, once.
  func take() -> Descriptor? { descriptor.withLock { $0.take() } }
}
