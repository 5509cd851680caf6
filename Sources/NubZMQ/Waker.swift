internal import Glibc

/// Wakes a thread out of ``PollSet/wait(milliseconds:)``: a pipe whose reading end is polled with the sockets.
public final class Waker: Sendable {
  /// To be added to the ``PollSet``.
  public let fileDescriptor: Int32
  private let writeDescriptor: Int32

  /// - Throws: ``ZMQError`` with the system's errno when there are no descriptors left.
  public init() throws(ZMQError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw ZMQError(code: .init(rawValue: errno), operation: "pipe") }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    fileDescriptor = ends[0]
    writeDescriptor = ends[1]
  }

  deinit {
    close(fileDescriptor)
    close(writeDescriptor)
  }

  /// From any thread, also in a signal handler (write(2) is async-signal-safe). A full pipe means that a wake-up is
  /// under way already.
  public func wake() {
    var byte: UInt8 = 1
    _ = write(writeDescriptor, &byte, 1)
  }

  /// By the polling thread, before it looks at what it was woken for.
  public func clear() {
    var bytes: (UInt64, UInt64) = (0, 0)
    while read(fileDescriptor, &bytes, MemoryLayout.size(ofValue: bytes)) > 0 {}
  }
}
