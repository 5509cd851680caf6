import Glibc
import Logging
import NubCap
import NubZMQ
import Testing

@testable import NubWorker

/// A reply as a producer sees it.
struct TestReply {
  var envelope: [[UInt8]]
  var id: [UInt8]
  var status: Status
  var body: [UInt8]
  var meta: String

  init(_ frames: [[UInt8]]) throws {
    let start = try #require(frames.firstIndex(of: bytes("NUB1")))
    try #require(frames.count == start + 6)
    #expect(frames[start + 1] == bytes("reply"))
    envelope = Array(frames[..<start])
    id = frames[start + 2]
    status = try #require(
      Status(
        rawValue: frames[start + 3].enumerated().reduce(0) { $0 | UInt32($1.element) << (8 * $1.offset) }))
    body = frames[start + 4]
    meta = String(decoding: frames[start + 5], as: UTF8.self)
  }

  var text: String { String(decoding: body, as: UTF8.self) }
  var isDuplicate: Bool { meta.contains("\"duplicate\":true") }
}

/// A plain ZeroMQ socket with blocking calls that give up after ten seconds: a test may be slow, never stuck.
final class TestSocket {
  enum Kind {
    case dealer, push, pull, req

    fileprivate var socket: SocketKind {
      switch self {
      case .dealer: .dealer
      case .push: .push
      case .pull: .pull
      case .req: .request
      }
    }
  }

  private let context: Context
  private var socket: Socket
  private var inbound = InboundMessage(maximumFrames: 400, maximumBytes: 256 << 20)
  private var poller = PollSet()
  private let item: Int
  let endpoint: String

  init(_ kind: Kind, bind: String) throws {
    context = try Context()
    var socket = try Socket(context, kind.socket)
    try socket.set(.linger, 0)
    try socket.bind(bind)
    endpoint = try socket.lastEndpoint()
    item = poller.add(socket, for: .readable)
    self.socket = socket
  }

  init(_ kind: Kind, connect: String) throws {
    context = try Context()
    var socket = try Socket(context, kind.socket)
    try socket.set(.linger, 0)
    try socket.connect(connect)
    endpoint = connect
    item = poller.add(socket, for: .readable)
    self.socket = socket
  }

  /// Sends a message, waiting while the socket is full.
  func send(_ frames: [[UInt8]]) throws {
    for (index, frame) in frames.enumerated() {
      let more = index < frames.count - 1
      while true {
        let isSent = try frame.withUnsafeBytes { try socket.send($0, more ? [.dontWait, .more] : .dontWait) }
        if isSent { break }
        poller.setInterest(item, .writable)
        try poller.wait(milliseconds: 100)
      }
    }
  }

  /// Receives a message; nil after `milliseconds` without one.
  func receive(milliseconds: Int = 10_000) throws -> [[UInt8]]? {
    poller.setInterest(item, .readable)
    let end = Monotonic.now + Milliseconds(milliseconds)
    while try !inbound.receive(from: &socket) {
      let now = Monotonic.now
      if now >= end { return nil }
      try poller.wait(milliseconds: Int(end.microseconds(since: now) / 1_000) + 1)
    }
    return inbound.views.map { [UInt8]($0) }
  }

  func reply(milliseconds: Int = 10_000) throws -> TestReply {
    try TestReply(try #require(try receive(milliseconds: milliseconds), "no reply came"))
  }

  /// Sends one job and waits for its reply.
  func ask(_ frames: [[UInt8]]) throws -> TestReply {
    try send(frames)
    return try reply()
  }
}

/// A worker on a thread of its own, with a store in a directory of its own.
final class TestWorker {
  let worker: Worker
  private let thread: ThreadJoiner
  private(set) var endpoints: [String] = []

  init(
    _ directory: TestDirectory, doors: [WorkerConfiguration.Door], lanes: Int = 2,
    engine: WorkerConfiguration.Engine = TestEngine.available,
    _ change: (inout WorkerConfiguration) -> Void = { _ in }
  ) throws {
    var configuration = WorkerConfiguration(
      name: "test", storePath: directory.path + "/nub.db", doors: doors, lanes: lanes)
    configuration.engine = engine
    configuration.lingerMilliseconds = 200
    configuration.drainMilliseconds = 10_000
    configuration.logger.logLevel = .error
    change(&configuration)
    let worker = try Worker(configuration)
    self.worker = worker
    let started = Monitor<Result<[String], WorkerError>?>(nil)
    thread = try ThreadJoiner {
      do throws(WorkerError) {
        try worker.run { endpoints in
          started.withLock { $0 = .success(endpoints) }
          started.broadcast()
        }
      } catch {
        started.withLock { $0 = .failure(error) }
        started.broadcast()
      }
    }
    endpoints = try #require(started.wait(until: .now + Milliseconds(60_000)) { $0 }).get()
  }

  /// Drains and waits for the end.
  func stop() {
    worker.shutdown()
    thread.join()
  }

  deinit { stop() }
}

final class ThreadJoiner {
  private var thread: WorkerThread?

  init(_ body: @escaping @Sendable () -> Void) throws {
    thread = try WorkerThread(name: "test", body)
  }

  func join() { thread.take()?.join() }
}

/// KVM where there is one; said on the console where there is not.
enum TestEngine {
  static let available: WorkerConfiguration.Engine = {
    if access("/dev/kvm", R_OK | W_OK) == 0 { return .kvm }
    print("NubWorkerTests: /dev/kvm cannot be used; the worker's tests run with the engine \"inprocess\"")
    return .inprocess
  }()
}
