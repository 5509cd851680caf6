internal import Glibc
internal import Synchronization

/// SIGTERM and SIGINT: the first one drains, the second one stops at once.
///
/// The handler only touches atomics and an eventfd, which is all that a signal handler may do (signal-safety(7)).
enum TerminationSignals {
  private static let target = Atomic<UInt>(0)

  static func install(for request: ShutdownRequest) throws(WorkerError) {
    // Never released: a signal may arrive at any later time.
    let retained = Unmanaged.passRetained(request)
    target.store(UInt(bitPattern: retained.toOpaque()), ordering: .sequentiallyConsistent)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in
      let address = TerminationSignals.target.load(ordering: .sequentiallyConsistent)
      guard let pointer = UnsafeRawPointer(bitPattern: address) else { return }
      Unmanaged<ShutdownRequest>.fromOpaque(pointer)._withUnsafeGuaranteedRef { $0.escalate() }
    }
    // A system call that is interrupted goes on; the eventfd is what wakes the door thread.
    action.sa_flags = SA_RESTART
    // A file size limit is a full disk: write(2) says EFBIG, and the store deals with it.
    signal(SIGXFSZ, SIG_IGN)
    for number in [SIGTERM, SIGINT] {
      guard sigaction(number, &action, nil) == 0 else {
        throw WorkerError(.systemResources, "sigaction(\(number)): \(String(cString: strerror(errno)))")
      }
    }
  }
}
