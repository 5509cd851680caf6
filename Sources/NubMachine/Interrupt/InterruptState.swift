/// The life of a sandbox's current call, packed into one word so that every step is one atomic change of it.
///
///     bit 0        running: a call is under way
///     bit 1        cancel: somebody wants it to end
///     bit 2        tick: the owner should look at the batch's progress, and judge deadlines
///     bits 8-15    signallers: threads that are about to send the owner a signal
///     bits 16-63   the call's number
///
/// A pure value; ``InterruptHandle`` keeps it in an atomic. The timing points, which tests and code name alike:
///
/// 1. `begin`: the call gets a new number. What was asked of an earlier call is gone: a kill that came before has no effect.
/// 2. The owner arms its signal handler, checks `cancel` and `tick`, and enters the guest.
/// 3. `request`: marks the running call and registers as a signaller, in one step. Where no call runs, nothing happens; where
///    the same has been asked already, whoever asked first sends the signal.
/// 4. The signal arrives. Between 2's check and the entry, the handler's `immediate_exit` makes the entry return at once.
/// 5. `release`: the signaller has sent its signal.
/// 6. `end`: the call is over. The owner waits until no signaller is left, so the thread that a signal is sent to still
///    exists and still is in this call.
struct InterruptState: Equatable, Sendable {
  struct Request: OptionSet, Sendable {
    let rawValue: UInt64
    static let cancel = Request(rawValue: 1 << 1)
    static let tick = Request(rawValue: 1 << 2)
    static let all: Request = [.cancel, .tick]
  }

  private static let running: UInt64 = 1
  private static let signaller: UInt64 = 1 << 8
  private static let signallers: UInt64 = 0xff << 8
  private static let call: UInt64 = 1 << 16

  var word: UInt64

  init(word: UInt64 = 0) { self.word = word }

  var isRunning: Bool { word & InterruptState.running != 0 }
  var hasSignallers: Bool { word & InterruptState.signallers != 0 }
  var callNumber: UInt64 { word >> 16 }
  func has(_ request: Request) -> Bool { word & request.rawValue == request.rawValue }

  /// Timing point 1.
  func begun() -> InterruptState {
    InterruptState(word: ((word & ~0xffff) &+ InterruptState.call) | InterruptState.running)
  }

  /// What becomes of a request.
  enum Answer: Equatable, Sendable {
    /// There is nothing to interrupt.
    case notRunning
    /// Somebody has asked for the same, and sends the signal. Real-time signals queue: one for each of many kills of a call
    /// would keep its thread in the handler.
    case asked
    /// All places for signallers are taken: one of them will be done soon, and the caller tries again.
    case full
    /// In this state the caller is registered as a signaller, and sends the signal.
    case signal(InterruptState)
  }

  /// Timing point 3.
  func requested(_ request: Request, ofCall number: UInt64?) -> Answer {
    guard isRunning, number == nil || number == callNumber else { return .notRunning }
    if has(request) { return .asked }
    guard word & InterruptState.signallers != InterruptState.signallers else { return .full }
    return .signal(InterruptState(word: (word | request.rawValue) + InterruptState.signaller))
  }

  /// Timing point 5.
  func released() -> InterruptState { InterruptState(word: word - InterruptState.signaller) }

  /// Timing point 6.
  func ended() -> InterruptState {
    InterruptState(word: word & ~(InterruptState.running | Request.all.rawValue))
  }

  /// The tick has been seen.
  func ticked() -> InterruptState { InterruptState(word: word & ~Request.tick.rawValue) }
}
