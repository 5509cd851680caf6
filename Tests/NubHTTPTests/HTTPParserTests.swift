import NubHTTP
import Testing

@Suite struct HTTPParserTests {
  func parse(_ text: String) -> HTTPParser.Outcome { HTTPParser.parse(Array(text.utf8)[...]) }

  func status(_ outcome: HTTPParser.Outcome) -> Int? {
    if case .refused(let status, _) = outcome { status.rawValue } else { nil }
  }

  @Test func aRequestIsReadAndTellsHowLongItsHeadWas() {
    let text = "GET /job?id=a%20b&x= HTTP/1.1\r\nHost: 127.0.0.1:9190\r\nAccept: */*\r\n\r\n"
    guard case .request(let request, let consumed) = parse(text + "GET /next") else {
      Issue.record("not a request")
      return
    }
    #expect(consumed == text.utf8.count)
    #expect(
      request.path == "/job" && request.host == "127.0.0.1:9190" && request.keepsAlive && !request.isHead)
    #expect(request.parameter("id") == "a b" && request.parameter("x") == "" && request.parameter("y") == nil)
  }

  @Test func everyPrefixOfARequestIsIncomplete() {
    let text = Array("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
    for count in 0..<text.count { #expect(HTTPParser.parse(text[..<count]) == .incomplete) }
    guard case .request(let request, _) = HTTPParser.parse(text[...]) else {
      Issue.record("not a request")
      return
    }
    #expect(request.isHead && !request.keepsAlive)
  }

  @Test(arguments: [
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /\\..\\x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET / FTP/1.11\r\nHost: a\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
    ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
    ("\u{16}\u{3}\u{1}", 400),
  ])
  func whatIsNoPlainRequestIsRefused(_ text: String, _ expected: Int) {
    #expect(status(parse(text)) == expected)
  }

  @Test func headsTargetsAndFieldsAreBounded() {
    #expect(status(parse("GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: 9_000))) == 431)
    #expect(
      status(parse("GET / HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 65) + "Host: a\r\n\r\n"))
        == 431)
    #expect(
      status(parse("GET /" + String(repeating: "a", count: 2_100) + " HTTP/1.1\r\nHost: a\r\n\r\n")) == 414)
  }

  @Test func theParserNeverReadsBeyondItsBytesAndAlwaysEnds() {
    var random = SystemRandomNumberGenerator()
    let seed = Array("GET /a?b=%41 HTTP/1.1\r\nHost: localhost\r\nA: b\r\n\r\n".utf8)
    for _ in 0..<20_000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      if case .request(let request, let consumed) = HTTPParser.parse(bytes[...]) {
        #expect(consumed <= bytes.count && request.path.hasPrefix("/"))
        _ = request.parameter("b")
      }
    }
  }

  @Test(arguments: [
    ("localhost", true), ("LOCALHOST:9190", true), ("127.0.0.1", true), ("10.1.2.3:80", true),
    ("[::1]:9190", true),
    ("evil.example", false), ("evil.example:9190", false), ("localhost.evil.example", false), ("", false),
    ("127.0.0.1.evil.example", false), ("[::1", false), ("[::1]x", false), ("localhost:port", false),
    ("metrics.internal", true),
  ])
  func onlyAddressesLocalhostAndNamedHostsAreServed(_ host: String, _ isGood: Bool) throws {
    let policy = HostPolicy(address: try HTTPAddress(parsing: "9190"), names: ["Metrics.internal"])
    #expect(policy.admits(host) == isGood)
  }

  @Test(arguments: [
    ("9190", "127.0.0.1:9190", false), ("localhost:0", "127.0.0.1:0", false), ("[::1]:80", "[::1]:80", false),
    ("0.0.0.0:9190", "0.0.0.0:9190", true), ("*:1", "0.0.0.0:1", true), ("[::]:9190", "[::]:9190", true),
    ("192.168.1.5:80", "192.168.1.5:80", true), ("unix:/run/nub.http", "unix:/run/nub.http", false),
  ])
  func anAddressOffLoopbackNeedsConsent(_ text: String, _ shown: String, _ leaves: Bool) throws {
    let address = try HTTPAddress(parsing: text)
    #expect(address.description == shown && address.leavesMachine == leaves)
    try address.check(allowsInsecure: true)
    if leaves {
      #expect(throws: HTTPError.self) { try address.check(allowsInsecure: false) }
    } else {
      try address.check(allowsInsecure: false)
    }
  }

  @Test(arguments: ["", "x", "65536", "host.example:80", ":80", "::1:80", "unix:", "127.0.0.1:", "-1"])
  func whatIsNoAddressIsRefused(_ text: String) {
    #expect(throws: HTTPError.self) { try HTTPAddress(parsing: text) }
  }
}
