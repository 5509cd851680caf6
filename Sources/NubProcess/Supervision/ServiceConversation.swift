/// Decides what a service manager is told and when (sd_notify(3)): a value without sockets and clocks.
struct ServiceConversation {
  /// Microseconds in which `WATCHDOG=1` must come; nil where nobody waits for it.
  let watchdog: UInt64?
  /// A line that changes with the load is not worth a message each time.
  static let statusMicroseconds: UInt64 = 5_000_000

  private var told: ServiceReport?
  private var lastWatchdog: UInt64?
  private var lastStatus: UInt64 = 0

  init(watchdog: UInt64?) {
    self.watchdog = watchdog
  }

  /// - Parameter now: monotonic microseconds.
  /// - Returns: the message to send now, or nil.
  mutating func look(_ report: ServiceReport, now: UInt64) -> String? {
    var lines: [String] = []
    // Each once: what was up does not become ready again, and nobody returns from stopping.
    if report.phase == .up, told?.phase ?? .starting == .starting { lines.append("READY=1") }
    if report.phase == .stopping, told?.phase != .stopping { lines.append("STOPPING=1") }
    let isNews = told == nil || !lines.isEmpty || report.isLive != told?.isLive
    if report.status != told?.status, isNews || now &- lastStatus >= Self.statusMicroseconds {
      lines.append("STATUS=\(Self.oneLine(report.status))")
      lastStatus = now
      told = report
    } else {
      told?.phase = report.phase
      told?.isLive = report.isLive
    }
    if let watchdog, report.isLive {
      // Half of the time is what sd_watchdog_enabled(3) advises; a quarter leaves room for one that is late.
      let isDue = lastWatchdog.map { now &- $0 >= watchdog / 4 } ?? true
      if isDue {
        lines.append("WATCHDOG=1")
        lastWatchdog = now
      }
    }
    return lines.isEmpty ? nil : lines.joined(separator: "\n")
  }

  /// The protocol is lines; a line break in a text would begin another one.
  static func oneLine(_ text: String) -> String {
    String(text.map { $0.isNewline || $0 == "\0" ? " " : $0 }.prefix(512))
  }
}
