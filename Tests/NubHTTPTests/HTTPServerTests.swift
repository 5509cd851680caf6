import Foundation
import Glibc
import HTTPTypes
import Logging
import NubHTTP
import Synchronization
import Testing

/// Raw bytes to a real server on a real socket.
@Suite struct HTTPServerTests {
  struct Echo: HTTPContent {
    /// What `/stuck` waits for.
    var gate = DispatchSemaphore(value: 0)

    func answer(_ request: PageRequest) -> HTTPAnswer {
      switch request.path {
      case "/later": .later { .text(.ok, "later") }
      case "/stuck":
        .later {
          gate.wait()
          return .text(.ok, "at last")
        }
      case "/large": .now(.text(.ok, String(repeating: "x", count: 4 << 20)))
      default: .now(.text(.ok, request.path))
      }
    }
    func tick() {}
  }

  /// Runs a server for as long as `body` does, which blocks and so gets a thread of its own.
  func serving(
    _ content: Echo = Echo(), options: HTTPServer.Options = HTTPServer.Options(), at text: String = "0",
    _ body: @escaping @Sendable (UInt16) throws -> Void
  ) async throws {
    let server = HTTPServer(
      try HTTPAddress(parsing: text), options: options, content: content, logger: Logger(label: "test"))
    let running = Task { try await server.run() }
    let address = try await server.address()
    let port: UInt16 = if case .ip4(_, let port) = address.kind { port } else { 0 }
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      Thread { continuation.resume(with: Result { try body(port) }) }.start()
    }
    running.cancel()
    try await running.value
  }

  static func get(_ path: String) -> String { "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n" }
  static func last(_ path: String) -> String {
    "GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
  }

  @Test func requestsThatAreSentAheadAreAnsweredInTheirOrder() async throws {
    try await serving { port in
      let client = try Client(port: port)
      let paths = (0..<50).map { $0 % 7 == 0 ? "/later" : "/\($0)" }
      client.send(paths.map(Self.get).joined() + Self.last("/last"))
      let bodies = client.readAll().components(separatedBy: "HTTP/1.1 200 OK").dropFirst()
        .map { $0.components(separatedBy: "\r\n\r\n").last ?? "" }
      #expect(bodies == paths.map { $0 == "/later" ? "later\n" : "\($0)\n" } + ["/last\n"])
    }
  }

  @Test func headTellsTheLengthAndSendsNoBody() async throws {
    try await serving { port in
      let client = try Client(port: port)
      client.send("HEAD /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
      let answer = client.readAll()
      // Foundation's search: Swift takes CR LF for one character.
      #expect(answer.range(of: "Content-Length: \((4 << 20) + 1)\r\n", options: .caseInsensitive) != nil)
      #expect(answer.hasSuffix("\r\n\r\n"))
    }
  }

  @Test(arguments: ["GET /large HTTP/1.0\r\n\r\n", HTTPServerTests.last("/large")])
  func aLargeAnswerArrivesWholeAndThenTheConnectionEnds(_ request: String) async throws {
    try await serving { port in
      let client = try Client(port: port)
      client.send(request)
      #expect(client.readAll().utf8.count > 4 << 20)
    }
  }

  @Test(arguments: [
    ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 413),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    ("POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("GET / HTTP/1.1\r\nHost: attacker.example\r\n\r\n", 421),
    ("GET / HTTP/1.1\r\nHost: attacker.example:80\r\nHost: localhost\r\n\r\n", 421),
    ("GET /\(String(repeating: "a", count: 2_100)) HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    ("GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "a", count: 9_000))\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X: y\r\n", count: 70))\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400), ("GET / FTP/1.11\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n", 400), ("\u{16}\u{3}\u{1}\r\n\r\n", 400),
  ])
  func whatIsNoPlainQuestionIsRefusedAndEndsTheConversation(_ text: String, _ status: Int) async throws {
    try await serving { port in
      let client = try Client(port: port)
      client.send(text + Self.get("/after"))
      let answer = client.readAll()
      #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && !answer.contains("200 OK"))
    }
  }

  @Test func everyAnswerForbidsFramesCachesAndGuesses() async throws {
    try await serving { port in
      for path in ["/", "/later"] {
        let client = try Client(port: port)
        client.send(Self.last(path))
        let answer = client.readAll().lowercased()
        for field in [
          "x-content-type-options: nosniff", "x-frame-options: deny", "cache-control: no-store",
          "referrer-policy: no-referrer", "cross-origin-resource-policy: same-origin", "date: ",
        ] { #expect(answer.contains(field), "\(field)") }
      }
    }
  }

  @Test func aHeadWithoutEndTakesNoMemoryAndIsEnded() async throws {
    try await serving { port in
      let client = try Client(port: port)
      let part = String(repeating: "a", count: 64 << 10)
      client.send("GET /")
      for _ in 0..<64 where client.send(part) {}
      #expect(!client.readAll().contains("200 OK"))
    }
  }

  @Test func connectionsThatAskNothingKeepNobodyOut() async throws {
    var options = HTTPServer.Options()
    options.connections = 8
    try await serving(options: options) { port in
      let idle = try (0..<40).map { _ in try Client(port: port) }
      for client in idle { client.send("GET /slow") }
      let client = try Client(port: port)
      client.send(Self.last("/prompt"))
      #expect(client.readAll().hasSuffix("/prompt\n"))
      withExtendedLifetime(idle) {}
    }
  }

  @Test func aHeadThatDoesNotComeAndAnAnswerThatIsNotTakenHaveTheirTime() async throws {
    var options = HTTPServer.Options()
    options.headSeconds = 1
    options.answerSeconds = 1
    try await serving(options: options) { port in
      let silent = try Client(port: port)
      silent.send("GET / HT")
      let greedy = try Client(port: port)
      greedy.send(String(repeating: Self.get("/large"), count: 8))
      #expect(silent.readAll().isEmpty)
      // It did not read, and was cut off in the middle of what it asked for.
      usleep(1_500_000)
      #expect(greedy.readAll().utf8.count < 8 * (4 << 20))
    }
  }

  @Test func questionsThatTakeLongAreBoundedAndKeepNoProbeWaiting() async throws {
    let content = Echo()
    var options = HTTPServer.Options()
    options.waitingAnswers = 2
    try await serving(content, options: options) { port in
      let waiting = try (0..<2).map { _ in try Client(port: port) }
      for client in waiting { client.send(Self.last("/stuck")) }
      // Until both are known to wait: then the next one is turned away.
      var refused = ""
      while !refused.hasPrefix("HTTP/1.1 503 ") {
        let next = try Client(port: port)
        next.send(Self.last("/later"))
        next.setPatience(milliseconds: 200)
        refused = next.readAll()
      }
      #expect(refused.lowercased().contains("retry-after: 1"))
      let probe = try Client(port: port)
      probe.send(Self.last("/livez"))
      #expect(probe.readAll().hasSuffix("/livez\n"))
      for _ in 0..<32 { content.gate.signal() }
      for client in waiting { #expect(client.readAll().hasSuffix("at last\n")) }
    }
  }

  @Test func aUnixSocketIsItsOwnersAndIsRemovedAtTheEnd() async throws {
    let path = "/tmp/nub-http-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    // What a process that was killed leaves.
    let left = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
    _ = withUnsafeBytes(of: &name) {
      bind(left, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
    close(left)
    let mask = umask(0)
    umask(mask)
    try await serving(at: "unix:\(path)") { _ in
      var status = stat()
      #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
      let now = umask(0)
      umask(now)
      #expect(now == mask)
      let other = HTTPServer(
        try HTTPAddress(parsing: "unix:\(path)"), content: Echo(), logger: Logger(label: "test"))
      let result = Blocking.wait { try await other.run() }
      #expect(throws: HTTPError.self) { try result.get() }
      #expect(stat(path, &status) == 0, "the first one's socket is left alone")
    }
    #expect(access(path, F_OK) != 0)
  }

  @Test func anAddressThatIsTakenIsAnError() async throws {
    try await serving { port in
      let other = HTTPServer(
        try HTTPAddress(parsing: "\(port)"), content: Echo(), logger: Logger(label: "test"))
      #expect(throws: HTTPError.self) { try Blocking.wait { _ = try await other.run() }.get() }
      #expect(throws: HTTPError.self) { try Blocking.wait { _ = try await other.address() }.get() }
    }
  }
}

/// Runs something asynchronous for a thread that blocks.
enum Blocking {
  static func wait(_ body: @escaping @Sendable () async throws -> Void) -> Result<Void, any Error> {
    let done = DispatchSemaphore(value: 0)
    let outcome = Outcome()
    Task {
      do { try await body() } catch { outcome.result.withLock { $0 = .failure(error) } }
      done.signal()
    }
    done.wait()
    return outcome.result.withLock { $0 }
  }

  private final class Outcome: Sendable {
    let result = Mutex<Result<Void, any Error>>(.success(()))
  }
}

/// A blocking socket with a limit on its patience.
final class Client {
  private let descriptor: Int32

  init(port: UInt16) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    inet_pton(AF_INET, "127.0.0.1", &name.sin_addr)
    let result = withUnsafeBytes(of: &name) { bytes in
      connect(
        descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
        socklen_t(MemoryLayout<sockaddr_in>.size))
    }
    setPatience(milliseconds: 30_000)
    guard result == 0 else { throw HTTPError("connect: \(errno)") }
  }

  deinit { close(descriptor) }

  func setPatience(milliseconds: Int) {
    var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: milliseconds % 1_000 * 1_000)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  @discardableResult
  func send(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
  }

  /// Everything until the server closes.
  func readAll() -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      guard count > 0 else { break }
      bytes.append(contentsOf: buffer[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
