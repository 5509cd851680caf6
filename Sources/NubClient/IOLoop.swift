internal import Glibc
internal import NubZMQ

/// The thread that owns a client's socket.
final class IOLoop {
  private var socket: Socket
  private let mailbox: Mailbox
  private var table: RequestTable
  private let clock = ContinuousClock()

  private init(socket: consuming Socket, mailbox: Mailbox, retry: RetryPolicy) {
    self.socket = socket
    self.mailbox = mailbox
    self.table = RequestTable(retry: retry)
  }

  /// Starts the thread. It ends, and closes the socket, after the mailbox was closed.
  static func start(socket: consuming Socket, mailbox: Mailbox, retry: RetryPolicy) throws(ClientError) {
    let loop = Unmanaged.passRetained(IOLoop(socket: socket, mailbox: mailbox, retry: retry))
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        // Balances the retain above: the loop, and with it the socket, goes away on this thread.
        Unmanaged<IOLoop>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, loop.toOpaque())
    guard failure == 0 else {
      loop.release()
      throw ClientError(.transport, "cannot start a thread: \(String(cString: strerror(failure)))")
    }
    pthread_detach(thread)
  }

  private func run() {
    var set = PollSet()
    let socketIndex = set.add(socket, for: .readable)
    set.add(fileDescriptor: mailbox.wakeDescriptor, for: .readable)
    do {
      while true {
        let (commands, isClosed) = mailbox.takeCommands()
        if isClosed { return mailbox.failAll(Mailbox.closed) }
        for command in commands { handle(command) }
        for resumption in table.advance(to: clock.now) { mailbox.resume(resumption) }
        let isBlocked = try sendReady()
        set.setInterest(socketIndex, isBlocked ? [.readable, .writable] : .readable)
        if try receiveSome() { continue }
        _ = try set.wait(milliseconds: pause())
      }
    } catch {
      mailbox.failAll(ClientError(.transport, "the socket failed: \(error)", cause: error))
    }
  }

  private func handle(_ command: Mailbox.Command) {
    let resumption =
      switch command {
      case .submit(let token, let frames, let timeout):
        table.submit(token, frames, timeout: timeout, now: clock.now)
      case .abandon(let token): table.abandon(token)
      }
    if let resumption { mailbox.resume(resumption) }
  }

  /// Sends what is ready. True: the socket has no room, or no peer.
  private func sendReady() throws(ZMQError) -> Bool {
    while let frames = table.nextToSend {
      guard try socket.send(frames: frames, wait: false) else { return true }
      table.sent(now: clock.now, scatter: .random(in: 0...1))
    }
    return false
  }

  /// Takes replies in, up to a number that leaves sending its turn. True: there may be more.
  private func receiveSome() throws(ZMQError) -> Bool {
    for _ in 0..<256 {
      guard let frames = try socket.receiveFrames(wait: false) else { return false }
      guard let reply = Reply(frames: frames) else { continue }
      for resumption in table.receive(reply, now: clock.now, scatter: .random(in: 0...1)) {
        mailbox.resume(resumption)
      }
    }
    return true
  }

  /// Milliseconds until the table has something to do, rounded up; -1 for ever.
  private func pause() -> Int {
    guard let wake = table.nextWake else { return -1 }
    let (seconds, attoseconds) = clock.now.duration(to: wake).components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    return Int(min(seconds, 3600) * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
  }
}
