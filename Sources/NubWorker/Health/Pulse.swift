internal import Synchronization

/// What one thread lets the watchdog see of its progress: a number that changes with each step, odd while there is work.
///
/// One thread writes, and with plain stores: a step costs no locked instruction, no clock and no system call.
final class Pulse: Sendable {
  private let value = Atomic<UInt64>(0)

  /// A step was made, and there is more to do.
  func work() { set(1) }

  /// A step was made; what comes next may take any time.
  func rest() { set(0) }

  /// The watchdog's look.
  var reading: UInt64 { value.load(ordering: .relaxed) }

  private func set(_ bit: UInt64) {
    value.store((value.load(ordering: .relaxed) & ~1 &+ 2) | bit, ordering: .relaxed)
  }
}

/// The pulses of a worker's threads.
struct Pulses: Sendable {
  let door = Pulse()
  let committer = Pulse()
  let relay = Pulse()
  let lanes: [Pulse]

  init(lanes: Int) {
    self.lanes = (0..<lanes).map { _ in Pulse() }
  }
}
