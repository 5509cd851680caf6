import CKVM
import Synchronization

/// The process's signal for interrupting vCPU threads: chosen and installed once.
enum InterruptSignal {
  private static let installed = Mutex<Int32?>(nil)

  /// Installs the handler for `wanted`, or for the first real-time signal that nobody handles. A signal that the
  /// application handles is never taken from it. Once installed, it stays for the process: threads unblock it once, and
  /// sandboxes that exist are interrupted with it.
  static func install(_ wanted: Int32?) throws(MachineError) -> Int32 {
    let outcome: Result<Int32, MachineError> = installed.withLock { current in
      if let current {
        guard wanted == nil || wanted == current else {
          return .failure(
            MachineError(
              .configurationInvalid,
              "the interrupt signal of this process is \(current) since its first sandbox; it cannot become "
                + "\(wanted ?? current)"))
        }
        // An application that has put a handler of its own there since would make every kill get lost.
        guard nub_kvm_install_signal(current) == 0 else {
          return .failure(
            MachineError(
              .configurationInvalid,
              "the application has taken signal \(current), which interrupts sandboxes; name another signal for one of the two"
            ))
        }
        return .success(current)
      }
      let candidates =
        wanted.map { [$0] }
        ?? Array(nub_kvm_first_realtime_signal()...nub_kvm_last_realtime_signal())
      for signal in candidates {
        let result = nub_kvm_install_signal(signal)
        if result == 0 {
          current = signal
          return .success(signal)
        }
        guard result == -EBUSY else { return .failure(.system("sigaction(\(signal))", result)) }
      }
      return .failure(
        MachineError(
          .configurationInvalid,
          "the application already handles signal \(candidates[0]); choose another as the interrupt signal"))
    }
    return try outcome.get()
  }
}
