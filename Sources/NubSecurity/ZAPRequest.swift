internal import NubZMQ

/// One question of libzmq's to the ZAP handler (RFC 27): may this peer come in? Pure.
///
/// libzmq in this process writes these, so they are well-formed; what they carry (address, identity, credentials) is the
/// peer's.
struct ZAPRequest {
  /// Frames behind the envelope: version, request id, domain, address, identity, mechanism, credentials.
  private static let fixedFrames = 6

  var requestID: [UInt8]
  var domain: String
  /// The peer's IP address. On a unix socket libzmq writes `localhost`, user, group and process.
  var address: String
  var mechanism: String
  /// CURVE: one, the peer's long-term public key of 32 bytes.
  var credentials: [[UInt8]]

  /// `nil` for anything but a version 1.0 request.
  init?(_ frames: [[UInt8]]) {
    guard frames.count >= Self.fixedFrames, frames[0] == Array("1.0".utf8) else { return nil }
    requestID = frames[1]
    domain = String(decoding: frames[2], as: UTF8.self)
    address = String(decoding: frames[3], as: UTF8.self)
    mechanism = String(decoding: frames[5], as: UTF8.self)
    credentials = Array(frames[Self.fixedFrames...])
  }

  /// Whether the peer came by a unix socket: CURVE does only through the relay of a pipeline, which knows the address and limits by it.
  var isRelayed: Bool { address.hasPrefix("localhost:") || address.isEmpty }

  /// The peer's key in print when the mechanism is CURVE and the credentials are one key.
  var curveKey: String? {
    guard mechanism == "CURVE", credentials.count == 1 else { return nil }
    return CurveKey.encode(credentials[0])
  }
}

/// The handler's answer.
struct ZAPReply {
  enum Status: String {
    case admitted = "200"
    /// libzmq closes the connection without an error message, and the peer tries again.
    case tryAgain = "300"
    case refused = "400"
  }

  var status: Status
  /// For the peer's log; says nothing about which keys there are.
  var text: String
  /// What `zmq_msg_gets(message, "User-Id")` shows for the connection's messages.
  var userID = ""

  func frames(for request: ZAPRequest) -> [[UInt8]] {
    // The last one is metadata; there is none.
    [
      Array("1.0".utf8), request.requestID, Array(status.rawValue.utf8), Array(text.utf8), Array(userID.utf8),
      [],
    ]
  }
}
