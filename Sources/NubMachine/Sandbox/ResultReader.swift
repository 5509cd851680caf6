import CNubABI

/// Reads the results that a guest publishes, one after the other, out of memory that the guest writes.
///
/// A result's header is copied once, judged, and used from the copy; where its bytes lie is computed here. Pure but for
/// the area that it is given, so that it can be fuzzed by itself.
struct ResultReader {
  struct Entry {
    var header: nub_result
    /// Where its bytes lie in the area.
    var bytes: Range<Int>
  }

  /// Calls in the batch.
  let calls: Int
  /// Bytes that one result may have.
  let maximumLength: UInt64
  /// Results that have been read.
  private(set) var count = 0
  /// How far into the area results have reached.
  private(set) var highWater = 0
  /// Where the next result begins.
  private var position = 0

  init(calls: Int, maximumLength: UInt64) {
    self.calls = calls
    self.maximumLength = maximumLength
  }

  /// The next of `published` results; nil where all of them have been read.
  mutating func next(
    in area: UnsafeMutableRawBufferPointer, published: UInt32
  ) throws(MachineError) -> Entry? {
    guard Int(published) <= calls else {
      throw MachineError(
        .protocolViolation, "the guest published \(published) results for \(calls) calls")
    }
    guard count < Int(published) else { return nil }
    let headerSize = MemoryLayout<nub_result>.size
    guard headerSize <= area.count - position else {
      throw MachineError(.protocolViolation, "a result begins outside the result area")
    }
    let header = unsafe area.loadUnaligned(fromByteOffset: position, as: nub_result.self)
    let length = Int(header.length)
    let start = position + headerSize
    guard header.index == UInt32(count), UInt64(length) <= maximumLength, length <= area.count - start else {
      throw MachineError(
        .protocolViolation, "result \(count) has index \(header.index) and \(length) bytes at \(start)")
    }
    // Counted before it is delivered, so that no path can deliver it twice.
    count += 1
    // The padding may end behind the area; then no further header fits.
    position = min(start + ((length + 15) & ~15), area.count)
    highWater = max(highWater, position)
    return Entry(header: header, bytes: start..<(start + length))
  }

  /// The guest asks to begin at the area's start again, which it may do only after it has put something there.
  mutating func drain() throws(MachineError) {
    guard position > 0 else {
      throw MachineError(.protocolViolation, "the guest asks for a drain of an empty result area")
    }
    position = 0
  }
}
