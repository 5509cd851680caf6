internal import Foundation
internal import Glibc
public import NubWorker
internal import NubZMQ
internal import Synchronization

/// Listens for a worker's operator: REP on an ipc endpoint, a command in one frame, JSON in another.
///
/// Only the same user gets in, or root: the directory is theirs alone, the socket's file too, and libzmq asks the kernel who connects.
public final class ControlServer: Sendable {
  /// Of a request; every command fits.
  static let requestBytes = 64

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
      var socket = try Socket(try Context(maxSockets: 8), .reply)
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
    while !isOver.load(ordering: .acquiring) {
      _ = try poll.wait(milliseconds: -1)
      waker.clear()
      while let request = try Multipart.receive(
        from: &listener.socket, Multipart.Limits(frames: 1, bytes: Self.requestBytes))
      {
        let reply = obey(request)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        _ = try listener.socket.send(frames: [Array(try encoder.encode(reply))], wait: false)
      }
    }
  }

  /// From any thread, also before ``run()``.
  public func stop() {
    isOver.store(true, ordering: .releasing)
    waker.wake()
  }

  /// Takes back the directory that was made for a worker which never came up: of a store that is refused, its folder stays as it was.
  /// After ``run()``, or without it.
  public func withdraw() {
    socket.withLock { $0 = nil }
    guard let newName, let directory = try? place.open(create: false) else { return }
    if let lock = try? directory.lock(newName) { directory.remove(lock) }
  }

  private func obey(_ request: Multipart) -> ControlReply {
    let word = String(decoding: request[0], as: UTF8.self)
    guard !request.isTruncated, let command = ControlCommand(rawValue: word) else {
      let known = ControlCommand.allCases.map(\.rawValue).joined(separator: ", ")
      return ControlReply(error: "unknown command; one of \(known)", status: status)
    }
    var reply = ControlReply(status: status)
    switch command {
    case .status: break
    case .quiet:
      worker.quiet()
      reply.note = "takes nothing new until it is told to resume"
    case .resume:
      worker.resume()
      reply.note = "takes work"
    case .drain:
      worker.shutdown()
      reply.note = "finishes what it has, and ends"
    case .reload: reply.note = worker.reloadKeys() ? "the keys have changed" : "the keys are as they were"
    case .dump: dump(&reply)
    }
    return reply
  }

  private func dump(_ reply: inout ControlReply) {
    do throws(WorkerError) {
      let dumps = try GuestDumps(of: worker)
      dumps.wait { isOver.load(ordering: .acquiring) }
      dumps.report(in: &reply)
    } catch {
      reply.error = error.message
    }
  }

  private var status: ControlStatus {
    let report = worker.health.report
    let snapshot = worker.snapshot
    return ControlStatus(
      name: snapshot.name.isEmpty ? fallbackName : snapshot.name, pid: getpid(), version: snapshot.version,
      engine: snapshot.engine, phase: report.phase.rawValue, live: report.isLive, ready: report.isReady,
      stuck: report.stuck, store: report.storeRefusal, sandboxes: report.sandboxProblem,
      lanes: snapshot.lanes.count, lanesBusy: snapshot.lanes.count { $0.jobs > 0 }, waiting: report.waiting,
      inFlight: report.inFlight, succeeded: snapshot.totals.succeeded, failed: snapshot.totals.failed,
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
