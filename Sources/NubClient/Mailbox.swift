internal import Glibc
internal import Synchronization

/// Where tasks leave requests for the I/O thread, and the only place that resumes them.
///
/// A continuation is resumed by whoever takes it out of `waiting`, under the lock: exactly once.
final class Mailbox: Sendable {
  typealias Outcome = Result<Reply, ClientError>

  enum Command: Sendable {
    case submit(UInt64, [[UInt8]], Duration)
    case abandon(UInt64)
  }

  private struct State {
    var commands: [Command] = []
    var waiting: [UInt64: CheckedContinuation<Outcome, Never>] = [:]
    var nextToken: UInt64 = 0
    var isClosed = false
    /// A byte is in the pipe, so another wake-up would be one system call for nothing.
    var isSignalled = false
  }

  private let state = Mutex(State())
  /// Readable when there are commands.
  let wakeDescriptor: Int32
  private let signalDescriptor: Int32

  init() throws(ClientError) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw ClientError(.transport, "cannot make a pipe: \(String(cString: strerror(errno)))")
    }
    for end in ends {
      // On a descriptor of one's own these cannot fail (fcntl(2)).
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    }
    wakeDescriptor = ends[0]
    signalDescriptor = ends[1]
  }

  // The thread and the client both hold the mailbox: nobody writes to a pipe whose other end is closed.
  deinit {
    Glibc.close(wakeDescriptor)
    Glibc.close(signalDescriptor)
  }

  // MARK: Tasks

  func newToken() -> UInt64 {
    state.withLock { state in
      state.nextToken += 1
      return state.nextToken
    }
  }

  func submit(
    _ token: UInt64, _ frames: [[UInt8]], timeout: Duration,
    _ continuation: CheckedContinuation<Outcome, Never>
  ) {
    let isClosed = state.withLock { state in
      if state.isClosed { return true }
      state.waiting[token] = continuation
      state.commands.append(.submit(token, frames, timeout))
      return false
    }
    if isClosed { return continuation.resume(returning: .failure(Self.closed)) }
    wake()
  }

  func abandon(_ token: UInt64) {
    state.withLock { $0.commands.append(.abandon(token)) }
    wake()
  }

  /// No more requests; those under way fail.
  func close() {
    state.withLock { $0.isClosed = true }
    wake()
  }

  private func wake() {
    let mustSignal = state.withLock { state in
      if state.isSignalled { return false }
      state.isSignalled = true
      return true
    }
    guard mustSignal else { return }
    var byte: UInt8 = 1
    // A full pipe is a signalled pipe, so EAGAIN is as good as success.
    while write(signalDescriptor, &byte, 1) < 0, errno == EINTR {}
  }

  // MARK: The I/O thread

  /// Takes what was left since the last time, and whether to go on.
  func takeCommands() -> (commands: [Command], isClosed: Bool) {
    var sink: (UInt64, UInt64) = (0, 0)
    while read(wakeDescriptor, &sink, MemoryLayout.size(ofValue: sink)) > 0 {}
    // The pipe was emptied first: a signal that comes from here on is seen by the next poll.
    return state.withLock { state in
      state.isSignalled = false
      let commands = state.commands
      state.commands = []
      return (commands, state.isClosed)
    }
  }

  func resume(_ resumption: RequestTable.Resumption) {
    state.withLock { $0.waiting.removeValue(forKey: resumption.token) }?.resume(returning: resumption.outcome)
  }

  /// The I/O thread's last act.
  func failAll(_ error: ClientError) {
    let waiting = state.withLock { state in
      state.isClosed = true
      let waiting = state.waiting
      state.waiting = [:]
      state.commands = []
      return waiting
    }
    for continuation in waiting.values { continuation.resume(returning: .failure(error)) }
  }

  static let closed = ClientError(.closed, "the client is closed")
}
