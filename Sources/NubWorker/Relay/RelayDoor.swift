internal import CNubRelay
internal import Glibc
internal import NubSecurity
internal import NubZMQ
internal import Synchronization

/// An endpoint that the relay stands in front of, and the socket behind it.
final class RelayDoor: Sendable {
  let endpoint: PublicEndpoint
  /// Whether handshakes are limited by address here, as ``HandshakeTally`` counts; nil without CURVE.
  let tally: HandshakeTally?
  private let current = Mutex<RelayNode?>(nil)

  /// Opens an endpoint to strangers; they wait until ``Relay/add(_:)``.
  ///
  /// - Returns: nil for an endpoint that needs no relay: within a process there are no connections.
  init?(_ endpoint: Endpoint, _ options: SocketOptions, tally: HandshakeTally?) throws(ZMQError) {
    guard endpoint.attachment == .bind, !endpoint.address.hasPrefix("inproc://") else { return nil }
    self.endpoint = try PublicEndpoint(binding: endpoint.address, options)
    self.tally = tally
  }

  /// The endpoint as bound, with wildcards resolved.
  var name: String { endpoint.name }

  /// Where the door's socket is found now.
  var node: RelayNode? { current.withLock { $0 } }

  /// Puts a socket behind the door, in place of the one before.
  func attach(_ socket: inout Socket) throws(ZMQError) {
    let hidden = try HiddenListener.open()
    try socket.set(.useDescriptor, hidden.listener)
    // The name stands for the descriptor and is not looked for.
    do throws(ZMQError) {
      try socket.bind("ipc:///nub-relay")
    } catch {
      close(hidden.listener)
      throw error
    }
    current.withLock { $0 = hidden.node }
  }
}

/// By which the relay connects to a door's socket. It has no name in the file system, so nobody else does.
final class RelayNode: Sendable {
  let descriptor: Descriptor
  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}

enum HiddenListener {
  static var folder: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

  /// - Returns: a listening socket, for libzmq to close, and the way to it.
  static func open() throws(ZMQError) -> (listener: Int32, node: RelayNode) {
    var node: Int32 = -1
    let listener = nub_relay_hidden_listener(folder, 1_024, &node)
    guard listener >= 0 else {
      throw ZMQError(code: ZMQError.Code(rawValue: -listener), operation: "a socket in \(folder)")
    }
    return (listener, RelayNode(Descriptor(owning: node)))
  }
}

/// Where strangers connect: the listening socket, and what it is called.
struct PublicEndpoint: ~Copyable, Sendable {
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
  init(binding endpoint: String, _ options: SocketOptions) throws(ZMQError) {
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
        nub_relay_keep_alive(
          bound.listener, Socket.KeepAlive.idle, Socket.KeepAlive.interval, Socket.KeepAlive.count)
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
    let events = "inproc://nub-listening"
    try socket.reportListening(at: events)
    var monitor = try Socket(context, .pair)
    try monitor.set(.linger, 0)
    try monitor.connect(events)
    try socket.bind(endpoint)
    let bound = try socket.lastEndpoint()
    let event = try monitor.receiveFrames()?.first ?? []
    guard event.count == 6 else {
      throw ZMQError(code: .invalidArgument, operation: "an event of \(event.count) bytes from \(bound)")
    }
    let number = event.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 2, as: Int32.self) }
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
