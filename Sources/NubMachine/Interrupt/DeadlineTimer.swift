import CKVM
import Foundation
import Synchronization

/// One thread that looks at running calls when their time has come.
///
/// A call costs two atomic stores: the owner writes when it wants to be looked at into its handle, and wakes the thread
/// only where that is earlier than the thread's own plan. Handles are kept weakly, so a dropped sandbox leaves nothing.
final class DeadlineTimer: Sendable {
  static let shared = DeadlineTimer()

  private struct WeakHandle {
    weak var handle: InterruptHandle?
  }

  private struct Handles {
    var list: [WeakHandle] = []
    /// How long the list may get before those of dropped sandboxes are taken out, so that a sandbox costs the same
    /// however many there are.
    var limit = 64
  }

  private let handles = Mutex(Handles())
  private let nextWake = Atomic<UInt64>(.max)
  private let bell = Bell()
  private let isStarted = Mutex(false)

  private init() {}

  func register(_ handle: InterruptHandle) {
    handles.withLock { handles in
      if handles.list.count >= handles.limit {
        handles.list.removeAll { $0.handle == nil }
        handles.limit = max(64, 2 * handles.list.count)
      }
      handles.list.append(WeakHandle(handle: handle))
    }
    let starts = isStarted.withLock { started in
      defer { started = true }
      return !started
    }
    if starts {
      let thread = Thread { [self] in loop() }
      thread.name = "nub-deadlines"
      thread.stackSize = 256 << 10
      thread.start()
    }
  }

  /// Asks for a look at `handle` at `time`.
  func schedule(_ handle: InterruptHandle, at time: UInt64) {
    // Store, then load: the thread does it the other way round, so at least one of the two sees the other.
    handle.wakeTime.store(time, ordering: .sequentiallyConsistent)
    if time < nextWake.load(ordering: .sequentiallyConsistent) { bell.ring() }
  }

  private func loop() {
    while true {
      let ticket = bell.ticket()
      nextWake.store(.max, ordering: .sequentiallyConsistent)
      let now = monotonicNanoseconds()
      var earliest = UInt64.max
      let alive = handles.withLock { $0.list.compactMap { $0.handle } }
      for handle in alive {
        let time = handle.wakeTime.load(ordering: .sequentiallyConsistent)
        if time <= now {
          if handle.wakeTime.compareExchange(expected: time, desired: .max, ordering: .sequentiallyConsistent)
            .exchanged
          {
            handle.request(.tick, ofCall: nil)
          }
        } else {
          earliest = min(earliest, time)
        }
      }
      nextWake.store(earliest, ordering: .sequentiallyConsistent)
      // A call that was scheduled between the look and the store saw a later plan and has rung, or is seen now.
      let missed = alive.contains { $0.wakeTime.load(ordering: .sequentiallyConsistent) < earliest }
      if !missed { bell.wait(ticket, until: earliest) }
    }
  }
}

/// Wakes a waiting thread; a ring that comes before the wait is not lost.
@safe final class Bell: @unchecked Sendable {
  // Safe: it owns the word, and nobody else sees the address.
  // Sendable: the word is only ever touched by atomic operations and the futex calls.
  private let count: UnsafeMutablePointer<UInt32>

  init() {
    unsafe count = .allocate(capacity: 1)
    unsafe count.initialize(to: 0)
  }

  deinit { unsafe count.deallocate() }

  func ticket() -> UInt32 { unsafe nub_atomic_load(count) }

  func ring() {
    unsafe nub_atomic_increment(count)
    _ = unsafe nub_futex_wake(count, 1)
  }

  func ringAll() {
    unsafe nub_atomic_increment(count)
    _ = unsafe nub_futex_wake(count, .max)
  }

  /// Returns when the bell has rung since `ticket`, or at `time` (monotonic nanoseconds), or now and then for nothing.
  func wait(_ ticket: UInt32, until time: UInt64) { _ = unsafe nub_futex_wait(count, ticket, time) }
}

/// The monotonic clock.
func monotonicNanoseconds() -> UInt64 {
  var now = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &now)
  return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
