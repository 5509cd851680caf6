/// The journal's blob for a batch of jobs: the frames of each as a producer would send them again, so that a restarted worker reads them
/// with the same decoder.
///
/// Layout, integers little-endian: a version byte; per job the door's index as u16, the number of frames as u16, and each frame
/// after its length as u32.
enum JournalCodec {
  static let version: UInt8 = 1

  /// Calls `body` with the door's index and the frames of each job; they are good during the call only.
  ///
  /// - Returns: false if the blob is damaged; `body` has been called for the jobs in front of the damage.
  static func decode(_ blob: [UInt8], _ body: (Int, FrameList) -> Void) -> Bool {
    blob.withUnsafeBytes { bytes in
      var cursor = Cursor(bytes: bytes)
      guard cursor.byte() == version else { return false }
      var frames: [UnsafeRawBufferPointer] = []
      while !cursor.isAtEnd {
        guard let door = cursor.u16(), let count = cursor.u16(), count <= ProtocolLimits.frames + 1 else {
          return false
        }
        frames.removeAll(keepingCapacity: true)
        for _ in 0..<count {
          guard let size = cursor.u32(), let frame = cursor.take(Int(size)) else { return false }
          frames.append(frame)
        }
        frames.withUnsafeBufferPointer { body(Int(door), FrameList($0)) }
      }
      return true
    }
  }

  private struct Cursor {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    var isAtEnd: Bool { position >= bytes.count }

    mutating func take(_ count: Int) -> UnsafeRawBufferPointer? {
      guard count <= bytes.count - position else { return nil }
      defer { position += count }
      return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    mutating func byte() -> UInt8? { take(1)?.first }
    mutating func u16() -> UInt16? { take(2).map { UInt16($0[0]) | UInt16($0[1]) << 8 } }
    mutating func u32() -> UInt32? {
      guard let low = u16(), let high = u16() else { return nil }
      return UInt32(low) | UInt32(high) << 16
    }
  }
}
