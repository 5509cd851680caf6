internal import CZeroMQ
internal import Glibc
internal import Synchronization

/// Wakes the door thread out of `zmq_poll` through an eventfd: one system call for any number of notifications between two looks.
final class Wakeup: Sendable {
  let fileDescriptor: Int32
  private let isPending = Atomic<Bool>(false)

  init() throws(WorkerError) {
    fileDescriptor = nub_eventfd()
    guard fileDescriptor >= 0 else {
      throw WorkerError(.systemResources, "eventfd: \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(fileDescriptor) }

  /// Any thread, also in a signal handler.
  func notify() {
    // The exchange is ordered before the look at the queues that follows `clear`, so a notification is never lost: either the
    // reader has not cleared yet and will look afterwards, or it has, and this one writes.
    if isPending.exchange(true, ordering: .sequentiallyConsistent) { return }
    var one: UInt64 = 1
    _ = write(fileDescriptor, &one, 8)
  }

  /// The waiting thread, before it looks at what it was woken for.
  func clear() {
    guard isPending.load(ordering: .sequentiallyConsistent) else { return }
    var count: UInt64 = 0
    _ = read(fileDescriptor, &count, 8)
    isPending.store(false, ordering: .sequentiallyConsistent)
  }
}
