internal import NubHTTP
internal import NubMachine
internal import NubProcess
internal import NubSecurity
internal import NubWorker
internal import NubZMQ

/// How a process of nub ends: its exit statuses, numbered as in sysexits.h where that has a fitting one.
public enum EndStatus: Int32, Sendable, CaseIterable {
  /// Drained: what was taken is finished, or given back.
  case drained = 0
  /// EX_USAGE: options, settings or files of keys that cannot work.
  case usage = 64
  /// EX_UNAVAILABLE: a door, the HTTP address or the control socket could not be opened.
  case unreachable = 69
  /// EX_SOFTWARE: something that should not happen.
  case unexpected = 70
  /// EX_OSERR: no threads, memory or descriptors, or the kernel refused what the process wanted to give up.
  case resources = 71
  /// EX_OSFILE: no sandbox could be made; mostly /dev/kvm is missing or closed to this user.
  case sandbox = 72
  /// EX_IOERR: the store could not be opened or written.
  case store = 74
  /// EX_TEMPFAIL: ended at once by a second signal; what had not finished was given back, or is in the journal.
  case forced = 75

  public init(_ error: any Error) {
    switch error {
    case let error as WorkerError:
      self =
        switch error.code {
        case .configuration: .usage
        case .transport: .unreachable
        case .store: .store
        case .engine: .sandbox
        case .systemResources: .resources
        }
    case let error as SecurityError: self = error.code == .resources ? .resources : .usage
    case let error as ProcessError: self = error.code == .system ? .resources : .usage
    case is MachineError: self = .sandbox
    case is HTTPError, is ControlError, is ZMQError: self = .unreachable
    default: self = .unexpected
    }
  }
}
