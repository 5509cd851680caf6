/// A message's frames, borrowed: good only as long as whoever lent them says. Positions are checked, the bytes of a frame are
/// the lender's and are read through `RawSpan`.
struct FrameList {
  private let frames: UnsafeBufferPointer<UnsafeRawBufferPointer>

  init(_ frames: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
    self.frames = frames
  }

  var count: Int { frames.count }

  /// The frame at `index`; empty beyond the end.
  subscript(index: Int) -> UnsafeRawBufferPointer {
    index >= 0 && index < frames.count ? frames[index] : UnsafeRawBufferPointer(start: nil, count: 0)
  }
}
