internal import CNubRelay
internal import Glibc
internal import NubSecurity
internal import NubZMQ
internal import Synchronization

/// An endpoint that the relay stands in front of, and the socket behind it.
final class RelayDoor: Sendable {
  enum Way: Sendable {
    /// Strangers connect here, and the relay then to the door's socket.
    case bound(PublicEndpoint)
    /// The door's socket connects to the relay, and the relay then to a stranger.
    case dialed(RelayDialer, HiddenListener)
  }

  let way: Way
  /// Whether handshakes are limited by address here, as ``HandshakeTally`` counts; nil without CURVE.
  let tally: HandshakeTally?
  private let current = Mutex<RelayNode?>(nil)

  /// Opens an endpoint; nobody is let in until ``Relay/add(_:)``.
  ///
  /// - Returns: nil for an endpoint that needs no relay: within a process there are no connections.
  init?(_ endpoint: Endpoint, _ options: SocketOptions, tally: HandshakeTally?) throws(ZMQError) {
    guard !endpoint.address.hasPrefix("inproc://") else { return nil }
    self.tally = tally
    switch endpoint.attachment {
    case .bind:
      way = .bound(try PublicEndpoint(endpoint.address, options))
    case .connect:
      way = .dialed(RelayDialer(endpoint.address), try HiddenListener())
    }
  }

  /// The endpoint, with wildcards resolved.
  var name: String {
    switch way {
    case .bound(let endpoint): endpoint.name
    case .dialed(let dialer, _): dialer.address
    }
  }

  /// Where the relay accepts.
  var listener: Int32 {
    switch way {
    case .bound(let endpoint): endpoint.listener.number
    case .dialed(_, let hidden): hidden.listener.number
    }
  }

  /// Who connects to strangers; nil where they connect.
  var dialer: RelayDialer? {
    switch way {
    case .bound: nil
    case .dialed(let dialer, _): dialer
    }
  }

  /// Where the door's socket is found now.
  var node: RelayNode? { current.withLock { $0 } }

  /// Puts a socket behind the door, in place of the one before.
  func attach(_ socket: inout Socket) throws(ZMQError) {
    switch way {
    case .bound:
      let hidden = try HiddenListener()
      // libzmq closes what it is given, so this is a descriptor of its own.
      let own = fcntl(hidden.listener.number, F_DUPFD_CLOEXEC, 3)
      guard own >= 0 else { throw ZMQError(code: ZMQError.Code(rawValue: errno), operation: "dup") }
      do throws(ZMQError) {
        try socket.set(.useDescriptor, own)
        // The name stands for the descriptor and is not looked for.
        try socket.bind("ipc:///nub-relay")
      } catch {
        close(own)
        throw error
      }
      current.withLock { $0 = hidden.node }
    case .dialed(_, let hidden):
      try socket.connect("ipc:///proc/self/fd/\(hidden.node.descriptor.number)")
      current.withLock { $0 = hidden.node }
    }
  }
}

/// By which the relay connects to a door's socket. It has no name in the file system, so nobody else does.
final class RelayNode: Sendable {
  let descriptor: Descriptor
  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}

/// A listening socket without a name, and the way to it.
final class HiddenListener: Sendable {
  let listener: Descriptor
  let node: RelayNode

  static var folder: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

  init() throws(ZMQError) {
    var inode: Int32 = -1
    let number = nub_relay_hidden_listener(Self.folder, 1_024, &inode)
    guard number >= 0 else {
      throw ZMQError(code: ZMQError.Code(rawValue: -number), operation: "a socket in \(Self.folder)")
    }
    listener = Descriptor(owning: number)
    node = RelayNode(Descriptor(owning: inode))
  }
}

/// Where strangers connect: the listening socket, and what it is called.
final class PublicEndpoint: Sendable {
  let listener: Descriptor
  /// With wildcards resolved.
  let name: String
  /// A folder that was made for it.
  let folder: String?

  deinit {
    guard let folder else { return }
    unlink(folder + Self.file)
    rmdir(folder)
  }

  /// Of a socket in a folder of its own.
  private static var file: String { "/socket" }

  /// Lets libzmq make the listening socket, with all that it knows of names, wildcards and options, and takes it over.
  init(_ endpoint: String, _ options: SocketOptions) throws(ZMQError) {
    var address = endpoint
    var made: String?
    if endpoint == "ipc://*" {
      // libzmq would remove its own with the socket.
      made = try Self.makeFolder()
      address = "ipc://\(made ?? "")\(Self.file)"
    }
    do throws(ZMQError) {
      let bound = try Self.bind(address, options)
      listener = Descriptor(owning: bound.listener)
      // Linux hands a listener's options on to what it accepts.
      if address.hasPrefix("tcp://") {
        Socket.KeepAlive.set(on: bound.listener)
      }
      name = bound.name
    } catch {
      if let made { rmdir(made) }
      throw error
    }
    folder = made
  }

  private static func bind(
    _ endpoint: String, _ options: SocketOptions
  ) throws(ZMQError) -> (listener: Int32, name: String) {
    // A context of its own, whose end is awaited: behind it libzmq accepts nothing any more. What it accepts until then finds a
    // socket type that no pipeline talks to, and connects again.
    let context = try Context()
    var socket = try Socket(context, .pair)
    try socket.apply(options)
    let number = try socket.bindListening(endpoint)
    let bound = try socket.lastEndpoint()
    let taken = nub_relay_duplicate(number)
    guard taken >= 0 else {
      throw ZMQError(code: ZMQError.Code(rawValue: -taken), operation: "dup(\(bound))")
    }
    return (taken, bound)
  }

  private static func makeFolder() throws(ZMQError) -> String {
    var path = Array((HiddenListener.folder + "/nub-XXXXXX").utf8CString)
    guard mkdtemp(&path) != nil else {
      throw ZMQError(code: ZMQError.Code(rawValue: errno), operation: "a folder in \(HiddenListener.folder)")
    }
    return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension Socket.KeepAlive {
  /// What libzmq does with its own TCP sockets when it is told.
  static func set(on socket: Int32) { nub_relay_keep_alive(socket, idle, interval, count) }
}
