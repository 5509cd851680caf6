import CNubGuest
import Foundation

/// The processor's time-stamp counter, for turning ticks into time.
enum TimeStampCounter {
  /// Ticks per millisecond, measured once against the monotonic clock where no VM can be asked.
  static let kilohertz: UInt64 = {
    let start = monotonicNanoseconds()
    let first = nub_cpu_ticks()
    // Two milliseconds give a precision of about a part in ten thousand; this runs once.
    var now = start
    while now - start < 2_000_000 { now = monotonicNanoseconds() }
    return max((nub_cpu_ticks() - first) * 1_000_000 / (now - start), 1)
  }()
}
