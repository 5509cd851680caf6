import CNubABI
import Logging

/// Forwards a guest's log records to swift-log, at a bounded rate.
struct GuestLog: Sendable {
  /// Records a sandbox may forward at once, and how many it earns per second.
  static let burst: Double = 200
  static let perSecond: Double = 50

  /// How often it is said that records were dropped, nanoseconds.
  private static let reportInterval: UInt64 = 1_000_000_000

  private var tokens = GuestLog.burst
  private var refilled: UInt64 = 0
  /// Dropped and not reported yet: for want of a token here, for want of room in the guest.
  private var suppressed: UInt64 = 0
  private var missed: UInt64 = 0
  /// The guest's own count of the latter at the last look.
  private var droppedByGuest: UInt64 = 0
  private var reported: UInt64 = 0

  static func number(of level: Logger.Level) -> UInt32 {
    UInt32(Logger.Level.allCases.firstIndex(of: level) ?? 2)
  }

  /// Reads what the guest wrote since the last exit and counts `log_drained` up, so that the guest starts afresh.
  mutating func drain(_ areas: SharedAreas, sandbox: UInt64, to logger: Logger) {
    var reader = unsafe GuestLogReader(areas.log)
    guard !reader.isEmpty || reader.dropped != droppedByGuest || suppressed != 0 || missed != 0 else {
      return
    }
    while let record = unsafe reader.next(in: areas.log) {
      guard takeToken() else {
        suppressed += 1
        continue
      }
      let level = Logger.Level.allCases[min(Int(record.level), Logger.Level.allCases.count - 1)]
      logger.log(
        level: level, "\(unsafe GuestLogReader.text(areas.log, record.message))",
        metadata: [
          "sandbox": "\(sandbox)", "guest_source": "\(unsafe GuestLogReader.text(areas.log, record.source))",
        ], source: "guest")
    }
    missed &+= reader.dropped &- droppedByGuest
    droppedByGuest = reader.dropped
    report(sandbox, to: logger)
    unsafe areas.host.pointee.log_drained &+= 1
    // The guest resets the length before its next record; doing it here as well makes an idle guest's area read as empty.
    unsafe areas.log.storeBytes(of: 0, as: UInt64.self)
  }

  private mutating func report(_ sandbox: UInt64, to logger: Logger) {
    guard missed != 0 || suppressed != 0 else { return }
    let now = monotonicNanoseconds()
    guard reported == 0 || now - reported >= GuestLog.reportInterval else { return }
    reported = now
    logger.warning(
      "guest log records were dropped",
      metadata: ["sandbox": "\(sandbox)", "by_guest": "\(missed)", "by_rate_limit": "\(suppressed)"])
    (missed, suppressed) = (0, 0)
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
