public import NubZMQ

/// The server's side of CURVE on a socket (RFC 26), for use with an ``Authenticator`` in the same context.
public struct CurveServer: Sendable {
  /// A domain for sockets that only send, and send what is every tenant's: keys that are bound to one do not come in.
  public static let allTenantsDomain = "nub.all-tenants"

  public let keys: CurveKeyPair
  /// How the ZAP handler tells sockets apart; not empty, or libzmq would not ask it for every mechanism.
  public let domain: String

  public init(keys: CurveKeyPair, domain: String = "nub") {
    self.keys = keys
    self.domain = domain
  }

  /// Makes `socket` talk CURVE with admitted peers and with nobody else. Before `bind` or `connect`.
  public func apply(to socket: inout Socket) throws(ZMQError) {
    try socket.set(.curveServer, 1)
    try socket.set(.curveSecretKey, keys.secretKey)
    try socket.set(.zapDomain, domain)
    // Without it libzmq admits every key as long as no handler is bound, for example after it has failed.
    try socket.set(.zapEnforceDomain, 1)
  }
}

/// The client's side: its own keys, and the server that it is willing to talk to.
public struct CurveClient: Sendable {
  public let keys: CurveKeyPair
  /// Z85, 40 characters.
  public let serverKey: String

  public init(keys: CurveKeyPair, serverKey: String) {
    self.keys = keys
    self.serverKey = serverKey
  }

  /// Before `connect`.
  public func apply(to socket: inout Socket) throws(ZMQError) {
    try socket.set(.curveServerKey, serverKey)
    try socket.set(.curvePublicKey, keys.publicKey)
    try socket.set(.curveSecretKey, keys.secretKey)
  }
}
