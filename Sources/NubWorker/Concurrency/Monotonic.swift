internal import Glibc

/// A point in time on the monotonic clock, in nanoseconds. Reading it takes no system call.
struct Monotonic: Comparable, Sendable, Hashable {
  var nanoseconds: UInt64

  static var now: Monotonic {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Monotonic(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
  }

  static func < (a: Monotonic, b: Monotonic) -> Bool { a.nanoseconds < b.nanoseconds }

  static func + (time: Monotonic, milliseconds: Milliseconds) -> Monotonic {
    let (product, tooLarge) = milliseconds.count.multipliedReportingOverflow(by: 1_000_000)
    let (sum, over) = time.nanoseconds.addingReportingOverflow(product)
    return Monotonic(nanoseconds: tooLarge || over ? .max : sum)
  }

  /// Whole microseconds since `earlier`; 0 if that is later.
  func microseconds(since earlier: Monotonic) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1_000 : 0
  }

  /// Whole microseconds.
  var microseconds: UInt64 { nanoseconds / 1_000 }

  var posix: timespec {
    timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}

/// A length of time in milliseconds.
struct Milliseconds: Sendable {
  var count: UInt64
  init(_ count: some BinaryInteger) { self.count = UInt64(clamping: count) }
}

/// The wall clock.
enum UnixTime {
  /// Milliseconds since 1970.
  static var milliseconds: Int64 {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
  }
}
