import CNubABI
import Logging

/// Forwards a guest's log records to swift-log, at a bounded rate.
struct GuestLog: Sendable {
  /// Records a sandbox may forward at once, and how many it earns per second.
  static let burst: Double = 200
  static let perSecond: Double = 50

  private var tokens = GuestLog.burst
  private var refilled: UInt64 = 0
  private var suppressed: UInt64 = 0
  private var droppedByGuest: UInt64 = 0

  static func number(of level: Logger.Level) -> UInt32 {
    UInt32(Logger.Level.allCases.firstIndex(of: level) ?? 2)
  }

  /// Reads what the guest wrote since the last exit and counts `log_drained` up, so that the guest starts afresh.
  mutating func drain(_ areas: SharedAreas, sandbox: UInt64, to logger: Logger) {
    let header = unsafe areas.log.loadUnaligned(as: nub_log_area.self)
    guard header.length > 0 || header.dropped != droppedByGuest else { return }
    let headerSize = MemoryLayout<nub_log_area>.size
    let end = unsafe min(UInt64(areas.log.count - headerSize), header.length)
    var position: UInt64 = 0
    let recordSize = UInt64(MemoryLayout<nub_log_record>.size)
    while end - position >= recordSize {
      let at = headerSize + Int(position)
      let record = unsafe areas.log.loadUnaligned(fromByteOffset: at, as: nub_log_record.self)
      let needed = recordSize + UInt64(record.source_length) + UInt64(record.message_length)
      // A record that does not fit ends the reading: the guest is lying, and only its own log suffers.
      guard UInt64(record.length) >= needed, UInt64(record.length) <= end - position,
        record.message_length <= NUB_LOG_MESSAGE_MAX
      else { break }
      if takeToken() {
        let source = unsafe text(areas.log, at + Int(recordSize), Int(record.source_length))
        let message = unsafe text(
          areas.log, at + Int(recordSize) + Int(record.source_length), Int(record.message_length))
        let level = Logger.Level.allCases[min(Int(record.level), Logger.Level.allCases.count - 1)]
        logger.log(
          level: level, "\(message)",
          metadata: ["sandbox": "\(sandbox)", "guest_source": "\(source)"], source: "guest")
      } else {
        suppressed += 1
      }
      position += UInt64(record.length)
    }
    report(dropped: header.dropped, sandbox: sandbox, to: logger)
    unsafe areas.host.pointee.log_drained &+= 1
    // The guest resets the length before its next record; doing it here as well makes an idle guest's area read as empty.
    unsafe areas.log.storeBytes(of: 0, as: UInt64.self)
  }

  private mutating func report(dropped: UInt64, sandbox: UInt64, to logger: Logger) {
    let fresh = dropped &- droppedByGuest
    droppedByGuest = dropped
    guard fresh &+ suppressed > 0, takeToken() else { return }
    logger.warning(
      "guest log records were dropped",
      metadata: ["sandbox": "\(sandbox)", "by_guest": "\(fresh)", "by_rate_limit": "\(suppressed)"])
    suppressed = 0
  }

  private func text(_ bytes: UnsafeMutableRawBufferPointer, _ start: Int, _ count: Int) -> String {
    // Control characters could forge lines in a terminal or a log file.
    let clean = unsafe bytes[start..<(start + count)].map { $0 < 32 || $0 == 127 ? UInt8(ascii: " ") : $0 }
    return String(decoding: clean, as: UTF8.self)
  }

  private mutating func takeToken() -> Bool {
    let now = monotonicNanoseconds()
    if refilled != 0 {
      tokens = min(GuestLog.burst, tokens + Double(now - refilled) / 1e9 * GuestLog.perSecond)
    }
    refilled = now
    guard tokens >= 1 else { return false }
    tokens -= 1
    return true
  }
}
