internal import CNubRelay
internal import Logging
internal import NubSecurity
internal import Synchronization

/// Stands between strangers and the sockets of pipeline doors: it passes bytes on, and keeps hang-ups from libzmq, which may end the
/// process when a peer hangs up that it is not reading (docs/decisions/0413). One thread for all doors.
final class Relay: Sendable {
  private let pulse: Pulse
  private let logger: Logger
  private let mailbox: RelayMailbox
  private let thread = Mutex<WorkerThreadBox?>(nil)

  init(pulse: Pulse, logger: Logger) throws(WorkerError) {
    self.pulse = pulse
    self.logger = logger
    mailbox = try RelayMailbox()
  }

  func start() throws(WorkerError) {
    let (mailbox, pulse, logger) = (mailbox, pulse, logger)
    let started = WorkerThreadBox(
      try WorkerThread(name: "nub-relay") { RelayLoop(mailbox, pulse: pulse, logger: logger).run() })
    thread.withLock { $0 = started }
  }

  /// Strangers at the door are let in from now on.
  func add(_ door: RelayDoor) throws(WorkerError) {
    // Not the relay itself: the dialer's thread may outlive it.
    let mailbox = mailbox
    try door.dialer?.start { dialed in mailbox.tell { $0.dialed.append(dialed) } }
    mailbox.tell { $0.doors.append(door) }
  }

  /// Lets nobody in any more; those who are here stay until libzmq closes.
  func closeDoors() { mailbox.tell { $0.isClosing = true } }

  /// Ends the thread, once libzmq has closed its side of every connection, or soon: so after the doors' sockets.
  func stop() {
    mailbox.tell { $0.isStopping = true }
    thread.withLock { $0.take() }?.join()
  }
}

/// What the relay's thread is told from outside.
final class RelayMailbox: Sendable {
  struct Orders {
    /// Doors that are new.
    var doors: [RelayDoor] = []
    /// Connections that a door's dialer made.
    var dialed: [RelayDialed] = []
    var isClosing = false
    var isStopping = false
  }

  let wakeup: Wakeup
  let epoll: Descriptor
  private let orders = Mutex(Orders())

  init() throws(WorkerError) {
    wakeup = try Wakeup()
    let number = nub_relay_epoll()
    guard number >= 0 else { throw WorkerError(.systemResources, "epoll_create1: error \(-number)") }
    epoll = Descriptor(owning: number)
  }

  func tell(_ change: (inout sending Orders) -> Void) {
    orders.withLock { change(&$0) }
    wakeup.notify()
  }

  /// What is new, once.
  func take() -> Orders {
    wakeup.clear()
    return orders.withLock { orders in
      let taken = orders
      orders.doors = []
      orders.dialed = []
      return taken
    }
  }
}
