/// The frames in front of `NUB1`, which go back in front of the reply: each after its length as a u16, little-endian. Empty, the
/// usual case on the pipeline door, it allocates nothing.
struct Envelope: Sendable, Equatable {
  private(set) var packed: [UInt8] = []

  init() {}

  init(_ frames: FrameList, count: Int) {
    var size = 0
    for index in 0..<count { size += 2 + frames[index].count }
    guard size > 0 else { return }
    packed.reserveCapacity(size)
    for index in 0..<count {
      let frame = frames[index]
      // The decoder has refused longer ones.
      packed.append(UInt8(truncatingIfNeeded: frame.count))
      packed.append(UInt8(truncatingIfNeeded: frame.count >> 8))
      packed.append(contentsOf: frame)
    }
  }

  var frameCount: Int {
    var count = 0
    _ = forEachFrame { _ in
      count += 1
      return true
    }
    return count
  }

  /// Calls `body` with each frame; stops at the first false.
  func forEachFrame<E>(_ body: (UnsafeRawBufferPointer) throws(E) -> Bool) throws(E) -> Bool {
    if packed.isEmpty { return true }
    return try packed.withUnsafeBufferPointer { (packed) throws(E) -> Bool in
      let bytes = UnsafeRawBufferPointer(packed)
      var position = 0
      while position + 2 <= bytes.count {
        let size = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        let end = position + 2 + size
        guard end <= bytes.count else { return false }
        guard try body(UnsafeRawBufferPointer(rebasing: bytes[position + 2..<end])) else { return false }
        position = end
      }
      return true
    }
  }
}
