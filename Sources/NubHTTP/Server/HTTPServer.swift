internal import Dispatch
internal import Glibc
public import Logging
internal import NubZMQ
internal import Synchronization

/// What a server says. Called on the server's thread, which nothing may keep waiting: what takes time is returned as ``HTTPAnswer/later(_:)``.
public protocol HTTPContent: Sendable {
  func answer(_ request: HTTPRequest) -> HTTPAnswer
  /// Called about once a second.
  func tick()
}

public enum HTTPAnswer: Sendable {
  case now(HTTPResponse)
  /// Made on a thread of its own, one after the other, so that a probe or a scrape never waits behind a question to the store.
  case later(@Sendable () -> HTTPResponse)
}

/// A small HTTP/1.1 server for an operator's eyes, Prometheus and probes: GET and HEAD, bounded in everything.
///
/// It is a thread with poll(2). Why none of the libraries: docs/decisions/0821.
public final class HTTPServer: Sendable {
  public struct Options: Sendable {
    /// Connections at once. When another comes, the one that has waited longest for a request makes room.
    public var connections = 128
    /// Answers that may wait to be made.
    public var waitingAnswers = 16
    /// Further names that a Host field may have, see ``HostPolicy``.
    public var hostNames: [String] = []
    var timing = HTTPExchange.Timing()
    public init() {}
  }

  /// Where it listens, the port resolved.
  public let address: HTTPAddress
  private let shared: Shared
  private let thread = Mutex<pthread_t?>(nil)

  /// Listens and serves.
  public init(
    _ address: HTTPAddress, options: Options = Options(), content: any HTTPContent, logger: Logger
  ) throws(HTTPError) {
    let listener = try HTTPListener(address)
    self.address = listener.address
    let shared = try Shared()
    self.shared = shared
    let loop = HTTPLoop(
      listener: listener, shared: shared, options: options,
      hosts: HostPolicy(address: address, names: options.hostNames), content: content, logger: logger)
    try start(loop)
  }

  deinit { stop() }

  /// Ends all conversations and the thread.
  public func stop() {
    guard let thread = thread.withLock({ $0.take() }) else { return }
    shared.isStopping.store(true, ordering: .releasing)
    shared.waker.wake()
    pthread_join(thread, nil)
  }

  private func start(_ loop: HTTPLoop) throws(HTTPError) {
    let argument = Unmanaged.passRetained(loop)
    var created = pthread_t()
    let result = pthread_create(
      &created, nil,
      { argument in
        guard let argument else { return nil }
        ThreadName.set("nub-http")
        Unmanaged<HTTPLoop>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw HTTPError("cannot start the HTTP thread: \(String(cString: strerror(result)))")
    }
    let started = created
    thread.withLock { $0 = started }
  }

  /// What other threads may touch.
  final class Shared: Sendable {
    let waker: Waker
    let isStopping = Atomic<Bool>(false)
    /// Answers that are ready, by connection number.
    private let answers = Mutex<[(connection: UInt64, response: HTTPResponse)]>([])
    private let queue = DispatchQueue(label: "nub.http.pages")
    private let waiting = Atomic<Int>(0)

    init() throws(HTTPError) {
      do throws(ZMQError) { waker = try Waker() } catch { throw HTTPError("cannot start HTTP: \(error)") }
    }

    /// - Returns: false if too much waits already.
    func make(_ body: @escaping @Sendable () -> HTTPResponse, for connection: UInt64, limit: Int) -> Bool {
      guard waiting.load(ordering: .relaxed) < limit else { return false }
      waiting.add(1, ordering: .relaxed)
      queue.async { [self] in
        let response = isStopping.load(ordering: .acquiring) ? .text(.unavailable, "stopping") : body()
        answers.withLock { $0.append((connection, response)) }
        waiting.subtract(1, ordering: .relaxed)
        waker.wake()
      }
      return true
    }

    func take() -> [(connection: UInt64, response: HTTPResponse)] {
      answers.withLock { answers in
        let taken = answers
        answers = []
        return taken
      }
    }
  }
}

/// As `top -H` and `gdb` show it (proc_pid_comm(5)); the kernel keeps 15 bytes.
enum ThreadName {
  static func set(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    _ = name.utf8.withContiguousStorageIfAvailable { write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
  }
}
