/// How much of everything a message may carry. The fixed ones are the job protocol's, the others are configured.
struct ProtocolLimits: Sendable {
  /// Frames in front of `NUB1`.
  static let envelopeFrames = 8
  /// Bytes of one envelope frame. A routing id has at most 255 (zmq_setsockopt(3), `ZMQ_ROUTING_ID`); brokers may put their own there.
  static let envelopeFrameBytes = 1_024
  static let idBytes = 64
  static let optionsBytes = 64 << 10
  /// Caps that come along with a call, and caps that `caps` in its options names.
  static let caps = 256
  /// The frames of a whole message: envelope, six of its own, caps.
  static let frames = envelopeFrames + 6 + caps

  /// Bytes of a body: 16 MiB of content and 64 KiB around it.
  var bodyBytes = (16 << 20) + (64 << 10)
  /// Bytes of a whole message; what exceeds it is dropped frame by frame as it is received.
  var messageBytes = 64 << 20
}
