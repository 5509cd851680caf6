import NubWorker
import NubZMQ

/// What an operator can do about an error whose own words are the system's.
enum Advice {
  /// A line to put behind the error's message, or nothing.
  static func after(_ error: any Error) -> String {
    let isTaken =
      switch error {
      case let error as WorkerError: (error.cause as? ZMQError)?.code == .addressInUse
      case let error as ZMQError: error.code == .addressInUse
      default: false
      }
    if isTaken {
      return "\n  another program has that address (ss -ltnp names it): end it, or choose another one"
    }
    if let error = error as? WorkerError, error.code == .engine {
      return "\n  nub doctor looks at what a sandbox needs"
    }
    return ""
  }
}
