import Foundation
import Glibc
import Logging
import NubHTTP
import Testing

/// Raw bytes to a real server on a real socket.
@Suite struct HTTPServerTests {
  struct Echo: HTTPContent {
    func answer(_ request: HTTPRequest) -> HTTPAnswer {
      switch request.path {
      case "/later": .later { .text(.ok, "later") }
      case "/large": .now(.text(.ok, String(repeating: "x", count: 4 << 20)))
      default: .now(.text(.ok, request.path))
      }
    }
    func tick() {}
  }

  let server: HTTPServer

  init() throws {
    var options = HTTPServer.Options()
    options.connections = 8
    server = try HTTPServer(
      try HTTPAddress(parsing: "0"), options: options, content: Echo(), logger: Logger(label: "test"))
  }

  func connection() throws -> Client {
    guard case .ip4(_, let port) = server.address.kind else { throw HTTPError("no port") }
    return try Client(port: port)
  }

  @Test func requestsThatAreSentAheadAreAnsweredInTheirOrder() throws {
    let client = try connection()
    let paths = (0..<50).map { $0 % 7 == 0 ? "/later" : "/\($0)" }
    client.send(paths.map { "GET \($0) HTTP/1.1\r\nHost: localhost\r\n\r\n" }.joined())
    client.send("GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    let bodies = client.readAll().components(separatedBy: "HTTP/1.1 200 OK").dropFirst()
      .map { $0.components(separatedBy: "\r\n\r\n").last ?? "" }
    #expect(bodies == paths.map { $0 == "/later" ? "later\n" : "\($0)\n" } + ["/last\n"])
  }

  @Test func headTellsTheLengthAndSendsNoBody() throws {
    let client = try connection()
    client.send("HEAD /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    let answer = client.readAll()
    // Foundation's search: Swift takes CR LF for one character.
    #expect(answer.range(of: "Content-Length: \((4 << 20) + 1)\r\n") != nil)
    #expect(answer.hasSuffix("\r\n\r\n"))
  }

  @Test func aLargeAnswerArrivesWhole() throws {
    let client = try connection()
    client.send("GET /large HTTP/1.0\r\n\r\n")
    #expect(client.readAll().utf8.count > 4 << 20)
  }

  @Test func aRefusedRequestIsToldWhyAndClosed() throws {
    let client = try connection()
    client.send(
      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    let answer = client.readAll()
    #expect(answer.hasPrefix("HTTP/1.1 413 ") && !answer.contains("200 OK"))
  }

  @Test func aForeignHostIsMisdirected() throws {
    let client = try connection()
    client.send("GET / HTTP/1.1\r\nHost: attacker.example\r\nConnection: close\r\n\r\n")
    #expect(client.readAll().hasPrefix("HTTP/1.1 421 "))
  }

  @Test func connectionsThatAskNothingKeepNobodyOut() throws {
    let idle = try (0..<40).map { _ in try connection() }
    for client in idle { client.send("GET /slow") }
    let client = try connection()
    client.send("GET /prompt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    #expect(client.readAll().hasSuffix("/prompt\n"))
    withExtendedLifetime(idle) {}
  }

  @Test func aUnixSocketIsItsOwnersAndIsRemovedAtTheEnd() throws {
    let path = "/tmp/nub-http-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    let server = try HTTPServer(
      try HTTPAddress(parsing: "unix:\(path)"), content: Echo(), logger: Logger(label: "test"))
    var status = stat()
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    #expect(throws: HTTPError.self) {
      _ = try HTTPServer(
        try HTTPAddress(parsing: "unix:\(path)"), content: Echo(), logger: Logger(label: "test"))
    }
    server.stop()
    #expect(stat(path, &status) != 0)
  }
}

/// A blocking socket with a limit on its patience.
final class Client {
  private let descriptor: Int32

  init(port: UInt16) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var limit = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = port.bigEndian
    inet_pton(AF_INET, "127.0.0.1", &name.sin_addr)
    let result = withUnsafeBytes(of: &name) { bytes in
      connect(
        descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
        socklen_t(MemoryLayout<sockaddr_in>.size))
    }
    guard result == 0 else { throw HTTPError("connect: \(errno)") }
  }

  deinit { close(descriptor) }

  func send(_ text: String) {
    let bytes = Array(text.utf8)
    _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
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
