internal import NubZMQ

extension InboundMessage {
  /// The frames that were kept; good until the next ``receive(from:)`` or ``releaseLargeFrames()``.
  var frames: FrameList { FrameList(views) }
}
