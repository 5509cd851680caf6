internal import Foundation
internal import Glibc
public import NubWorker
internal import NubZMQ
internal import Synchronization

/// Listens for a worker's operator: a command in one frame of a REQ on an ipc endpoint, JSON in another. A ROUTER, so that who waits
/// for crash dumps keeps nobody else waiting.
///
/// Only the same user gets in, or root: the directory is theirs alone, the socket's file too, and libzmq asks the kernel who connects.
public final class ControlServer: Sendable {
  /// Of a frame of a request; every command fits.
  static let requestBytes = 64
  /// A ROUTER's name for the asker, a REQ's empty frame, the command.
  private static let requestFrames = 3
  /// Askers that may wait for crash dumps at once.
  private static let maximumDumps = 8

  private let worker: Worker
  private let place: ControlPlace
  /// Of a directory that was made for this worker: the name that it took there.
  private let newName: String?
  private let fallbackName: String
  private let waker: Waker
  private let isOver = Atomic<Bool>(false)
  private let socket: Mutex<Listener?>
  /// Where it listens.
  public let path: String

  private struct Listener: ~Copyable {
    // In this order they go away: the name is ours until the socket is closed.
    var socket: Socket
    let directory: ControlDirectory
    let lock: ControlLock

    deinit {
      // libzmq leaves it; while the name is still ours nobody else's can be there.
      unlinkat(directory.descriptor, lock.name, 0)
    }
  }

  /// Listens; ``run()`` answers.
  ///
  /// - Parameter name: the worker's, for as long as it does not serve.
  public init(_ place: ControlPlace, worker: Worker, name: String) throws(ControlError) {
    self.worker = worker
    self.place = place
    fallbackName = name
    let directory = try place.open(create: true)
    let lock = try Self.take(place, in: directory)
    let taken = lock.name
    newName = directory.isNew ? taken : nil
    path = "\(directory.path)/\(taken)"
    try directory.removeStale(taken)
    do throws(ZMQError) {
      waker = try Waker()
      var socket = try Socket(try Context(maxSockets: 8), .router)
      try socket.set(.maxMessageSize, Int64(Self.requestBytes))
      try socket.set(.receiveHighWaterMark, 4)
      try socket.set(.sendHighWaterMark, 4)
      try socket.set(.handshakeInterval, 2_000)
      // The answer to a drain may still leave.
      try socket.set(.linger, 200)
      try socket.admitUser(geteuid())
      if geteuid() != 0 { try socket.admitUser(0) }
      try socket.bind(directory.endpoint(taken))
      fchmodat(directory.descriptor, taken, 0o600, 0)
      self.socket = Mutex(Listener(socket: socket, directory: directory, lock: lock))
    } catch {
      throw ControlError(.place, "cannot listen at \(path)", cause: error)
    }
  }

  private static func take(
    _ place: ControlPlace, in directory: borrowing ControlDirectory
  ) throws(ControlError) -> ControlLock {
    if let name = place.name {
      guard let lock = try directory.lock(name) else {
        throw ControlError(.taken, "another worker listens at \(directory.path)/\(name)")
      }
      return lock
    }
    for slot in 0..<ControlPlace.slots {
      if let lock = try directory.lock("\(slot)") { return lock }
    }
    throw ControlError(.taken, "\(ControlPlace.slots) workers listen in \(directory.path) already")
  }

  /// Answers until ``stop()``, on the calling thread.
  public func run() throws {
    guard var listener = socket.withLock({ $0.take() }) else { return }
    var poll = PollSet()
    poll.add(listener.socket, for: .readable)
    poll.add(fileDescriptor: waker.fileDescriptor, for: .readable)
    var dumping: [(envelope: [[UInt8]], dumps: GuestDumps)] = []
    while !isOver.load(ordering: .acquiring) {
      _ = try poll.wait(milliseconds: dumping.isEmpty ? -1 : 50)
      waker.clear()
      while let request = try Multipart.receive(
        from: &listener.socket,
        Multipart.Limits(frames: Self.requestFrames, bytes: Self.requestFrames * Self.requestBytes))
      {
        // Whoever is no REQ is not answered.
        guard request.count >= 2, request.size(1) == 0 else { continue }
        let envelope = [request[0], request[1]]
        switch obey(request, mayDump: dumping.count < Self.maximumDumps) {
        case .reply(let reply): try send(reply, to: envelope, through: &listener.socket)
        case .whenWritten(let dumps): dumping.append((envelope, dumps))
        }
      }
      let written = dumping.filter(\.dumps.isOver)
      dumping.removeAll { pending in written.contains { $0.dumps === pending.dumps } }
      for (envelope, dumps) in written {
        try send(dumps.reply(status), to: envelope, through: &listener.socket)
      }
    }
    for (envelope, dumps) in dumping {
      try send(dumps.reply(status), to: envelope, through: &listener.socket)
    }
  }

  private func send(
    _ reply: ControlReply, to envelope: [[UInt8]], through socket: inout Socket
  ) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    _ = try socket.send(frames: envelope + [Array(try encoder.encode(reply))], wait: false)
  }

  /// From any thread, also before ``run()``.
  public func stop() {
    isOver.store(true, ordering: .releasing)
    waker.wake()
  }

  private enum Answer {
    case reply(ControlReply)
    /// Comes when the lanes have written them.
    case whenWritten(GuestDumps)
  }

  /// Takes back the directory that was made for a worker which never came up: of a store that is refused, its folder stays as it was.
  /// After ``run()``, or without it.
  public func withdraw() {
    socket.withLock { $0 = nil }
    guard let newName, let directory = try? place.open(create: false) else { return }
    if let lock = try? directory.lock(newName) { directory.remove(lock) }
  }

  private func obey(_ request: Multipart, mayDump: Bool) -> Answer {
    let word = String(decoding: request[2], as: UTF8.self)
    guard request.count == Self.requestFrames, !request.isTruncated,
      let command = ControlCommand(rawValue: word)
    else {
      let known = ControlCommand.allCases.map(\.rawValue).joined(separator: ", ")
      return .reply(ControlReply(error: "unknown command; one of \(known)", status: status))
    }
    let note: String?
    switch command {
    case .status: note = nil
    case .quiet:
      worker.quiet()
      awaitPhase { $0 != .serving }
      note = "takes nothing new until it is told to resume"
    case .resume:
      worker.resume()
      awaitPhase { $0 != .quiet }
      note = "takes work"
    case .drain:
      worker.shutdown()
      awaitPhase { $0 != .serving && $0 != .quiet }
      note = "finishes what it has, and ends"
    case .reload: note = worker.reloadKeys() ? "the keys have changed" : "the keys are as they were"
    case .dump:
      guard mayDump else {
        return .reply(ControlReply(error: "guests are being written down already", status: status))
      }
      do throws(WorkerError) {
        return .whenWritten(try GuestDumps(of: worker))
      } catch {
        return .reply(ControlReply(error: error.message, status: status))
      }
    }
    return .reply(ControlReply(note: note, status: status))
  }

  /// Gives the door thread a moment to do what it was told, so that the answer shows it. Where it takes longer, the answer shows that.
  private func awaitPhase(_ isReached: (Health.Phase) -> Bool) {
    let end = ContinuousClock.now + .seconds(2)
    while !isReached(worker.health.report.phase), ContinuousClock.now < end { usleep(2_000) }
  }

  private var status: ControlStatus {
    let report = worker.health.report
    let snapshot = worker.snapshot
    return ControlStatus(
      name: snapshot.name.isEmpty ? fallbackName : snapshot.name, pid: getpid(), version: snapshot.version,
      engine: snapshot.engine, phase: report.phase.rawValue, live: report.isLive, ready: report.isReady,
      stuck: report.stuck, store: report.storeRefusal, sandboxes: report.sandboxProblem,
      lanes: snapshot.lanes.count, lanesBusy: snapshot.lanes.count { $0.jobs > 0 }, waiting: report.waiting,
      inFlight: report.inFlight, uncollected: report.uncollected, succeeded: snapshot.totals.succeeded,
      failed: snapshot.totals.failed,
      duplicates: snapshot.totals.duplicates, endpoints: snapshot.endpoints,
      started: snapshot.startedMilliseconds)
  }
}

extension BlockingService {
  public init(_ server: ControlServer) {
    self.init(
      name: "nub-control", drain: { server.stop() }, stop: { server.stop() }, body: { try server.run() })
  }
}
