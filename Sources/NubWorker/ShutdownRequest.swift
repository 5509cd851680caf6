internal import Synchronization

/// Asks the door thread to stop, or to take nothing new for a while; settable from any thread and from a signal handler.
final class ShutdownRequest: Sendable {
  enum Wish: Int, Comparable {
    case none = 0
    /// Finish or give back, then stop.
    case drain = 1
    case atOnce = 2

    static func < (a: Wish, b: Wish) -> Bool { a.rawValue < b.rawValue }
  }

  private let level = Atomic<Int>(0)
  private let quiet = Atomic<Bool>(false)
  private let wakeup: Wakeup

  init(wakeup: Wakeup) {
    self.wakeup = wakeup
  }

  var wish: Wish { Wish(rawValue: min(2, level.load(ordering: .acquiring))) ?? .atOnce }

  /// Whether nothing new is to be taken.
  var wantsQuiet: Bool { quiet.load(ordering: .relaxed) }

  func beQuiet(_ isQuiet: Bool) {
    quiet.store(isQuiet, ordering: .relaxed)
    wakeup.notify()
  }

  /// Once asks for a drain, twice for an end at once.
  func escalate() {
    level.wrappingAdd(1, ordering: .releasing)
    wakeup.notify()
  }

  /// Asks for a drain, however often.
  func drain() {
    _ = level.compareExchange(expected: 0, desired: 1, ordering: .acquiringAndReleasing)
    wakeup.notify()
  }
}
