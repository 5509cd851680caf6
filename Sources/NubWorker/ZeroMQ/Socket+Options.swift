internal import NubZMQ

/// What a door asks of its sockets. Every option that libzmq leaves at a value that loses messages, hangs at exit, or lets a
/// peer take memory is set here, on purpose.
struct SocketOptions: Sendable {
  /// Milliseconds for which unsent replies are still delivered after the socket is closed.
  var lingerMilliseconds: Int32 = 2_000
  /// Milliseconds that a peer may take for the ZMTP (and CURVE) handshake.
  var handshakeMilliseconds: Int32 = 10_000
  /// The largest frame in bytes that is read from a peer; one that announces more is disconnected.
  var maximumFrameBytes: Int64 = 16 << 20
  /// Messages per peer that libzmq may hold on their way in; 0 for no limit.
  var receiveHighWaterMark: Int32 = 256
  /// Messages per peer that libzmq may hold on their way out.
  var sendHighWaterMark: Int32 = 1_000
}

extension Socket {
  mutating func apply(_ options: SocketOptions) throws(ZMQError) {
    // -1, the library's default, hangs at exit for as long as a peer is away; 0 throws replies away that were just sent.
    try set(.linger, options.lingerMilliseconds)
    // Off, on purpose. On, libzmq throws a connecting socket's pipe away when the peer disconnects, with what has arrived and was not
    // read yet, and aborts the process if it was being read (fq.cpp, "!_more"). Off, the pipe outlives the connection: a collector
    // that restarts gets the replies that wait for it.
    try set(.immediate, 0)
    // ZMTP's own heartbeats (RFC 37) must be off wherever peers can send what is not read: their timer makes libzmq 4.3.4 abort the
    // process when such a peer hangs up (docs/decisions/0412).
    try set(.heartbeatInterval, 0)
    try keepAlive()
    // Reconnect after 100 ms, doubling to 10 s: the default of a constant 100 ms makes a herd of a fleet.
    try set(.reconnectInterval, 100)
    try set(.reconnectIntervalMax, 10_000)
    // The default (-1) lets one frame announce 2^63 bytes. This bounds a frame, not the number of a message's frames.
    try set(.maxMessageSize, options.maximumFrameBytes)
    // Half-open connections hold a file descriptor each.
    try set(.handshakeInterval, options.handshakeMilliseconds)
    try set(.receiveHighWaterMark, options.receiveHighWaterMark)
    try set(.sendHighWaterMark, options.sendHighWaterMark)
    try set(.backlog, 1_024)
  }

  /// For a ROUTER: a reply to a peer that is gone is an error to count, not a silent drop.
  mutating func requireRoutes() throws(ZMQError) {
    try set(.routerMandatory, 1)
  }
}
