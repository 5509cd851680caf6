internal import CZeroMQ

/// Socket types that nub uses.
public struct SocketKind: RawRepresentable, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let pair = SocketKind(rawValue: ZMQ_PAIR)
  public static let request = SocketKind(rawValue: ZMQ_REQ)
  public static let reply = SocketKind(rawValue: ZMQ_REP)
  public static let dealer = SocketKind(rawValue: ZMQ_DEALER)
  public static let router = SocketKind(rawValue: ZMQ_ROUTER)
  public static let pull = SocketKind(rawValue: ZMQ_PULL)
  public static let push = SocketKind(rawValue: ZMQ_PUSH)
}

/// Socket options by the type of their value (zmq_setsockopt(3)).
public struct SocketOption<Value>: Sendable {
  let name: Int32
}

extension SocketOption where Value == Int32 {
  /// Milliseconds that unsent messages may hold up a close; -1 for ever.
  public static var linger: Self { Self(name: ZMQ_LINGER) }
  /// 1: queue only for peers that are connected.
  public static var immediate: Self { Self(name: ZMQ_IMMEDIATE) }
  /// Milliseconds between ZMTP heartbeats; 0 for none.
  public static var heartbeatInterval: Self { Self(name: ZMQ_HEARTBEAT_IVL) }
  /// Milliseconds after which a silent peer is given up.
  public static var heartbeatTimeout: Self { Self(name: ZMQ_HEARTBEAT_TIMEOUT) }
  /// 1: TCP looks whether a silent peer is still there.
  public static var tcpKeepalive: Self { Self(name: ZMQ_TCP_KEEPALIVE) }
  /// Seconds of silence before TCP looks.
  public static var tcpKeepaliveIdle: Self { Self(name: ZMQ_TCP_KEEPALIVE_IDLE) }
  /// Seconds between TCP's looks.
  public static var tcpKeepaliveInterval: Self { Self(name: ZMQ_TCP_KEEPALIVE_INTVL) }
  /// TCP's looks without an answer after which the peer is given up.
  public static var tcpKeepaliveCount: Self { Self(name: ZMQ_TCP_KEEPALIVE_CNT) }
  /// Milliseconds before the first attempt to connect again.
  public static var reconnectInterval: Self { Self(name: ZMQ_RECONNECT_IVL) }
  /// Milliseconds to which the pause between attempts doubles.
  public static var reconnectIntervalMax: Self { Self(name: ZMQ_RECONNECT_IVL_MAX) }
  /// Milliseconds that a ZMTP handshake may take.
  public static var handshakeInterval: Self { Self(name: ZMQ_HANDSHAKE_IVL) }
  /// Messages queued per peer before a send would block; 0 for no limit.
  public static var sendHighWaterMark: Self { Self(name: ZMQ_SNDHWM) }
  /// Messages queued per peer before a peer is no longer read; 0 for no limit.
  public static var receiveHighWaterMark: Self { Self(name: ZMQ_RCVHWM) }
  /// 1: sending to an unknown peer fails instead of dropping.
  public static var routerMandatory: Self { Self(name: ZMQ_ROUTER_MANDATORY) }
  /// 1: a new peer with a known routing id takes it over.
  public static var routerHandover: Self { Self(name: ZMQ_ROUTER_HANDOVER) }
  /// 1: this side is the CURVE server.
  public static var curveServer: Self { Self(name: ZMQ_CURVE_SERVER) }
  /// 1: a socket with a ZAP domain admits nobody while no ZAP handler answers, instead of everybody.
  public static var zapEnforceDomain: Self {
    // ZMQ_ZAP_ENFORCE_DOMAIN: zmq.h shows the name to draft builds only; libraries may know the number all the same.
    Self(name: 93)
  }
  /// A listening socket to use for the next bind, instead of making one; libzmq closes it.
  public static var useDescriptor: Self { Self(name: ZMQ_USE_FD) }
  /// Connections waiting to be accepted.
  public static var backlog: Self { Self(name: ZMQ_BACKLOG) }
}

extension SocketOption where Value == Int64 {
  /// Bytes of the largest frame to accept; a peer that sends a larger one is disconnected. -1 for no limit.
  public static var maxMessageSize: Self { Self(name: ZMQ_MAXMSGSIZE) }
}

extension SocketOption where Value == String {
  /// Z85, 40 characters.
  public static var curvePublicKey: Self { Self(name: ZMQ_CURVE_PUBLICKEY) }
  /// Z85, 40 characters.
  public static var curveSecretKey: Self { Self(name: ZMQ_CURVE_SECRETKEY) }
  /// Z85, 40 characters: the server that a client is willing to talk to.
  public static var curveServerKey: Self { Self(name: ZMQ_CURVE_SERVERKEY) }
  /// The domain that a ZAP handler sees.
  public static var zapDomain: Self { Self(name: ZMQ_ZAP_DOMAIN) }
}
