import Logging
import NubSecurity
import NubZMQ
import Testing

/// Real handshakes over TCP on loopback: a ROUTER that is guarded, and peers of every kind.
@Suite("CURVE handshakes")
struct HandshakeTests {
  /// A class, because expectations cannot borrow noncopyable values.
  final class Server {
    let scratch: Scratch
    let context: Context
    let keys: AuthorizedKeys
    let authenticator: Authenticator
    let pair: CurveKeyPair
    var socket: Socket
    let endpoint: String

    init() throws {
      scratch = try Scratch()
      context = try Context()
      keys = try AuthorizedKeys(directory: scratch.path, logger: quiet)
      authenticator = try Authenticator(context: context, keys: keys, logger: quiet)
      pair = try CurveKeyPair.generate()
      var socket = try Socket(context, .router)
      try CurveServer(keys: pair).apply(to: &socket)
      try socket.set(.linger, 0)
      try socket.bind("tcp://127.0.0.1:*")
      endpoint = try socket.lastEndpoint()
      self.socket = socket
    }

    /// Waits for a message.
    func receive(milliseconds: Int = 20_000) throws -> Multipart? {
      var poll = PollSet()
      poll.add(socket, for: .readable)
      guard try poll.wait(milliseconds: milliseconds) > 0 else { return nil }
      return try Multipart.receive(from: &socket, .init(frames: 8, bytes: 1 << 20))
    }
  }

  static func dealer(_ context: Context, _ endpoint: String, _ curve: CurveClient?) throws -> Socket {
    var socket = try Socket(context, .dealer)
    try socket.set(.linger, 0)
    if let curve { try curve.apply(to: &socket) }
    try socket.connect(endpoint)
    _ = try socket.send(frames: [Array("hello".utf8)])
    return socket
  }

  @Test("an admitted key comes in, and its messages name it")
  func right() throws {
    let server = try Server()
    let pair = try CurveKeyPair.generate()
    try server.scratch.write("a.pub", "public-key = \(pair.publicKey)\ntenant = acme\n")
    server.keys.reloadIfChanged()
    let context = try Context()
    let peer = try Self.dealer(
      context, server.endpoint, CurveClient(keys: pair, serverKey: server.pair.publicKey))
    let message = try #require(try server.receive())
    #expect(message.property("User-Id") == pair.publicKey)
    #expect(server.keys.principal(forUserID: message.property("User-Id"))?.tenant == "acme")
    // Revoked while connected: the next message's sender is nobody.
    #expect(server.scratch.remove("a.pub"))
    server.keys.reloadIfChanged()
    #expect(server.keys.principal(forUserID: message.property("User-Id")) == nil)
    _ = consume peer
  }

  @Test("without an admitted key, the server's key or CURVE nobody comes in")
  func wrong() throws {
    let server = try Server()
    let admitted = try CurveKeyPair.generate()
    let stranger = try CurveKeyPair.generate()
    try server.scratch.write("a.pub", "public-key = \(admitted.publicKey)\n")
    server.keys.reloadIfChanged()
    let context = try Context()
    let serverKey = server.pair.publicKey
    // Strangers first: when the last one's message has come, theirs would have.
    let a = try Self.dealer(context, server.endpoint, CurveClient(keys: stranger, serverKey: serverKey))
    let b = try Self.dealer(
      context, server.endpoint, CurveClient(keys: admitted, serverKey: stranger.publicKey))
    let c = try Self.dealer(context, server.endpoint, nil)
    let forged = CurveKeyPair(publicKey: admitted.publicKey, secretKey: stranger.secretKey)
    let d = try Self.dealer(context, server.endpoint, CurveClient(keys: forged, serverKey: serverKey))
    // The handler has refused the stranger for sure once it says so.
    while server.authenticator.statistics.refused == 0 {
      try #require(try server.receive(milliseconds: 10) == nil)
    }
    let good = try Self.dealer(context, server.endpoint, CurveClient(keys: admitted, serverKey: serverKey))
    let message = try #require(try server.receive())
    #expect(message.property("User-Id") == admitted.publicKey)
    #expect(try server.receive(milliseconds: 50) == nil)
    #expect(server.authenticator.statistics.admitted == 1)
    // They live to this point.
    _ = consume a
    _ = consume b
    _ = consume c
    _ = consume d
    _ = consume good
  }

  @Test("a key that is bound to a tenant does not come in where every tenant's replies leave")
  func allTenants() throws {
    let server = try Server()
    let bound = try CurveKeyPair.generate()
    let free = try CurveKeyPair.generate()
    try server.scratch.write("bound.pub", "public-key = \(bound.publicKey)\ntenant = acme\n")
    try server.scratch.write("free.pub", "public-key = \(free.publicKey)\n")
    server.keys.reloadIfChanged()
    var push = try Socket(server.context, .push)
    try CurveServer(keys: server.pair, domain: CurveServer.allTenantsDomain).apply(to: &push)
    try push.set(.linger, 0)
    try push.bind("tcp://127.0.0.1:*")
    let endpoint = try push.lastEndpoint()
    let context = try Context()
    func pull(_ keys: CurveKeyPair) throws -> Socket {
      var socket = try Socket(context, .pull)
      try socket.set(.linger, 0)
      try CurveClient(keys: keys, serverKey: server.pair.publicKey).apply(to: &socket)
      try socket.connect(endpoint)
      return socket
    }
    var refused = try pull(bound)
    var admitted = try pull(free)
    while server.authenticator.statistics.refused == 0 {
      try #require(try server.receive(milliseconds: 10) == nil)
    }
    // Nobody else could take them.
    for number in 0..<10 { _ = try push.send([UInt8(number)]) }
    var frame = Message()
    for number in 0..<10 {
      _ = try admitted.receive(into: &frame)
      #expect(frame.bytes == [UInt8(number)])
    }
    let other = try refused.receiveFrames(wait: false)
    #expect(other == nil)
  }

  @Test("an address that is refused again and again waits; others come in meanwhile")
  func limits() throws {
    let server = try Server()
    let admitted = try CurveKeyPair.generate()
    try server.scratch.write("a.pub", "public-key = \(admitted.publicKey)\n")
    server.keys.reloadIfChanged()
    let context = try Context()
    var strangers: [StrangerBox] = []
    for _ in 0..<40 {
      let curve = CurveClient(keys: try .generate(), serverKey: server.pair.publicKey)
      strangers.append(StrangerBox(try Self.dealer(context, server.endpoint, curve)))
    }
    while server.authenticator.statistics.limited == 0 {
      try #require(try server.receive(milliseconds: 10) == nil)
    }
    #expect(server.authenticator.statistics.refused >= 20)
    // The same machine under another address.
    let endpoint = server.endpoint.replacing("tcp://", with: "tcp://127.0.0.2:0;")
    let good = try Self.dealer(
      context, endpoint, CurveClient(keys: admitted, serverKey: server.pair.publicKey))
    let message = try #require(try server.receive())
    #expect(message.property("User-Id") == admitted.publicKey)
    #expect(server.authenticator.statistics.admitted == 1)
    _ = consume good
    withExtendedLifetime(strangers) {}
  }

  /// Sockets in an array, which cannot hold what is noncopyable.
  final class StrangerBox {
    let socket: Socket
    init(_ socket: consuming Socket) { self.socket = socket }
  }

  @Test("without a handler a guarded socket admits nobody")
  func failsClosed() throws {
    let context = try Context()
    let pair = try CurveKeyPair.generate()
    var socket = try Socket(context, .router)
    try CurveServer(keys: pair).apply(to: &socket)
    try socket.bind("tcp://127.0.0.1:*")
    let peer = try Self.dealer(
      try Context(), try socket.lastEndpoint(), CurveClient(keys: try .generate(), serverKey: pair.publicKey))
    var poll = PollSet()
    poll.add(socket, for: .readable)
    #expect(try poll.wait(milliseconds: 300) == 0)
    _ = consume peer
  }

  @Test("a context has one handler")
  func second() throws {
    let server = try Server()
    #expect(throws: SecurityError.self) {
      _ = try Authenticator(context: server.context, keys: server.keys, logger: quiet)
    }
  }
}
