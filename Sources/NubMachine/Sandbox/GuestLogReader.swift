import CNubABI

/// Finds the records in a log area that a guest wrote. Pure but for the area, so that it can be fuzzed by itself.
///
/// A record that does not fit ends the reading: the guest is lying, and only its own log suffers.
struct GuestLogReader {
  struct Record {
    /// As the guest wrote it; see `nub_log_record`.
    var level: UInt16
    /// Where its parts lie in the area.
    var source: Range<Int>
    var message: Range<Int>
  }

  /// A source is a short name; more of it is not shown.
  private static let maximumSource = 128

  /// Records that the guest had no room for, by its own account.
  let dropped: UInt64
  private var position: Int
  private let end: Int

  init(_ area: UnsafeMutableRawBufferPointer) {
    let headerSize = MemoryLayout<nub_log_area>.size
    guard area.count >= headerSize else {
      (dropped, position, end) = (0, 0, 0)
      return
    }
    let header = unsafe area.loadUnaligned(as: nub_log_area.self)
    dropped = header.dropped
    position = headerSize
    end = headerSize + Int(min(UInt64(area.count - headerSize), header.length))
  }

  /// True where there is nothing to read.
  var isEmpty: Bool { position == end }

  mutating func next(in area: UnsafeMutableRawBufferPointer) -> Record? {
    let recordSize = MemoryLayout<nub_log_record>.size
    guard end <= area.count, end - position >= recordSize else { return nil }
    let record = unsafe area.loadUnaligned(fromByteOffset: position, as: nub_log_record.self)
    guard record.message_length <= NUB_LOG_MESSAGE_MAX else { return nil }
    let sourceLength = Int(record.source_length)
    let messageLength = Int(record.message_length)
    guard Int(record.length) >= recordSize + sourceLength + messageLength,
      Int(record.length) <= end - position
    else { return nil }
    let source = position + recordSize
    let message = source + sourceLength
    position += Int(record.length)
    return Record(
      level: record.level, source: source..<(source + min(sourceLength, GuestLogReader.maximumSource)),
      message: message..<(message + messageLength))
  }

  /// A part of a record, see ``GuestText``.
  static func text(_ area: UnsafeMutableRawBufferPointer, _ range: Range<Int>) -> String {
    unsafe GuestText.plain(UnsafeRawBufferPointer(rebasing: area[range]))
  }
}
