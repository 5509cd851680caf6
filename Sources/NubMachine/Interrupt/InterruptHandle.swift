import CKVM
import Glibc
import Synchronization

/// Interrupts a sandbox's call from any thread. Outlives the sandbox harmlessly.
public final class InterruptHandle: Sendable {
  /// What ``interrupt()`` did.
  public enum Outcome: Sendable, Equatable {
    /// The call that was running ends with ``MachineError/Code/cancelled``, unless it ends by itself first.
    case requested
    /// No call was running, and a later call is not affected.
    case notRunning
  }

  private let state = Atomic<UInt64>(0)
  private let thread = Atomic<Int32>(0)
  /// When the timer should look at this call, nanoseconds of the monotonic clock; `UInt64.max` for never.
  let wakeTime = Atomic<UInt64>(.max)
  private let signal: Int32
  /// Crash dumps that other threads want of the running call.
  let dumpRequests = Mutex<[DumpRequest]>([])

  init(signal: Int32) { self.signal = signal }

  /// Ends the call that is running now, whether it is in guest code or in a host function. Takes effect within about
  /// the time of a signal; a host function is waited for.
  @discardableResult
  public func interrupt() -> Outcome { request(.cancel, ofCall: nil) ? .requested : .notRunning }

  /// True while a call is running.
  public var isRunning: Bool { InterruptState(word: state.load(ordering: .acquiring)).isRunning }

  /// True when the running call has been asked to end through ``interrupt()``.
  public var isCancelled: Bool { InterruptState(word: state.load(ordering: .acquiring)).has(.cancel) }

  /// Number of the running call, for ``request(_:ofCall:)``.
  var runningCall: UInt64? {
    let now = InterruptState(word: state.load(ordering: .acquiring))
    return now.isRunning ? now.callNumber : nil
  }

  @discardableResult
  func request(_ request: InterruptState.Request, ofCall number: UInt64?) -> Bool {
    var old = InterruptState(word: state.load(ordering: .acquiring))
    while true {
      let answer = old.requested(request, ofCall: number)
      let new: InterruptState
      switch answer {
      case .notRunning: return false
      case .full:
        sched_yield()
        old = InterruptState(word: state.load(ordering: .acquiring))
        continue
      case .asked: new = old
      case .signal(let registered): new = registered
      }
      // A change also where nothing changes: what the caller wrote before it is seen by the owner who clears the request.
      let (done, seen) = state.compareExchange(
        expected: old.word, desired: new.word, ordering: .acquiringAndReleasing)
      if done {
        if answer == .asked { return true }
        break
      }
      old = InterruptState(word: seen)
    }
    // Registered as a signaller: the owner cannot leave this call, so the thread is the one that runs it.
    _ = nub_kvm_signal_thread(thread.load(ordering: .acquiring), signal)
    _ = state.wrappingSubtract(1 << 8, ordering: .releasing)
    return true
  }

  // MARK: The owner's side

  /// Timing point 1. Returns the call's number.
  func begin() -> UInt64 {
    thread.store(nub_kvm_thread_id(), ordering: .releasing)
    // Nobody but the owner changes a state that is not running.
    let new = InterruptState(word: state.load(ordering: .relaxed)).begun()
    state.store(new.word, ordering: .sequentiallyConsistent)
    return new.callNumber
  }

  /// Timing point 2: what the running call has been asked for.
  func current() -> InterruptState { InterruptState(word: state.load(ordering: .sequentiallyConsistent)) }

  func clearTick() {
    _ = state.bitwiseAnd(~InterruptState.Request.tick.rawValue, ordering: .acquiringAndReleasing)
  }

  /// What was asked of the running call came after its last result, and is done with.
  func clearRequests() {
    _ = state.bitwiseAnd(~InterruptState.Request.all.rawValue, ordering: .acquiringAndReleasing)
  }

  /// Timing point 6. Returns what had been asked of the call.
  @discardableResult
  func end() -> InterruptState {
    wakeTime.store(.max, ordering: .relaxed)
    var old = InterruptState(word: state.load(ordering: .acquiring))
    while true {
      let (done, seen) = state.compareExchange(
        expected: old.word, desired: old.ended().word, ordering: .acquiringAndReleasing)
      if done { break }
      old = InterruptState(word: seen)
    }
    while InterruptState(word: state.load(ordering: .acquiring)).hasSignallers { sched_yield() }
    return old
  }
}
