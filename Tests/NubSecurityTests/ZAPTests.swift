import Testing

@testable import NubSecurity

@Suite("ZAP messages and limits")
struct ZAPTests {
  static func frames(_ mechanism: String, _ credentials: [[UInt8]], version: String = "1.0") -> [[UInt8]] {
    [version, "7", "nub", "192.0.2.1", "", mechanism].map { Array($0.utf8) } + credentials
  }

  @Test("a CURVE request shows its key")
  func curve() throws {
    let request = try #require(ZAPRequest(Self.frames("CURVE", [[UInt8](repeating: 7, count: 32)])))
    #expect(request.curveKey?.count == 40)
    #expect(request.address == "192.0.2.1")
    let reply = ZAPReply(status: .admitted, text: "OK", userID: "u").frames(for: request)
    #expect(reply == ["1.0", "7", "200", "OK", "u", ""].map { Array($0.utf8) })
  }

  @Test("other mechanisms and other credentials show none")
  func others() throws {
    #expect(try #require(ZAPRequest(Self.frames("NULL", []))).curveKey == nil)
    #expect(try #require(ZAPRequest(Self.frames("PLAIN", [[1], [2]]))).curveKey == nil)
    #expect(try #require(ZAPRequest(Self.frames("CURVE", [[1]]))).curveKey == nil)
    #expect(try #require(ZAPRequest(Self.frames("CURVE", []))).curveKey == nil)
  }

  @Test("anything but a version 1.0 request is none")
  func malformed() {
    #expect(ZAPRequest([]) == nil)
    #expect(ZAPRequest(Array(Self.frames("NULL", []).dropLast())) == nil)
    #expect(ZAPRequest(Self.frames("NULL", [], version: "2.0")) == nil)
  }

  @Test("an address that is refused again and again has to wait, and others do not")
  func limiter() {
    var limiter = HandshakeLimiter(milliseconds: 0)
    for _ in 0..<20 {
      let first = limiter.admits("a", milliseconds: 0)
      #expect(first)
      limiter.noteRefusal("a", milliseconds: 0)
    }
    let again = limiter.admits("a", milliseconds: 100)
    #expect(!again)
    let other = limiter.admits("b", milliseconds: 100)
    #expect(other)
    let later = limiter.admits("a", milliseconds: 300)
    #expect(later)
  }

  @Test("all handshakes together are bounded")
  func total() {
    var limits = HandshakeLimiter.Limits()
    limits.burst = 10
    limits.perSecond = 1
    var limiter = HandshakeLimiter(limits, milliseconds: 0)
    var admitted = 0
    for index in 0..<20 where limiter.admits("\(index)", milliseconds: 0) { admitted += 1 }
    #expect(admitted == 10)
    let later = limiter.admits("x", milliseconds: 1_000)
    #expect(later)
    let tooSoon = limiter.admits("x", milliseconds: 1_001)
    #expect(!tooSoon)
  }

  @Test(
    "only loopback goes without encryption",
    arguments: [
      ("tcp://127.0.0.1:7700", false), ("tcp://127.1.2.3:*", false), ("tcp://[::1]:7700", false),
      ("tcp://localhost:1", false), ("ipc:///run/x", false), ("inproc://x", false),
      ("tcp://127.evil.example:1", true), ("tcp://127.0.0.1.evil.example:1", true), ("tcp://*:7700", true),
      ("tcp://0.0.0.0:7700", true), ("tcp://[::]:7700", true), ("tcp://eth0:7700", true),
      ("tcp://10.0.0.1:1", true),
      ("tcp://127.0.0.1:1;10.0.0.1:1", true), ("tcp://10.0.0.1:0;127.0.0.1:1", false),
      ("tcp://[::ffff:10.0.0.1]:1", true), ("tcp://localhost.example:1", true), ("tcp://127.0.0.1", true),
      ("ws://127.0.0.1:1", true), ("", true), ("udp://127.0.0.1:1", true),
    ])
  func endpoints(endpoint: String, leaves: Bool) {
    #expect(EndpointPolicy.leavesMachine(endpoint) == leaves)
    let result = Result { () throws(SecurityError) in
      try EndpointPolicy.check(endpoint, isEncrypted: false, allowsInsecure: false)
    }
    if case .failure(let error) = result {
      #expect(leaves && error.code == .plaintext)
    } else {
      #expect(!leaves)
    }
    #expect(throws: Never.self) {
      try EndpointPolicy.check(endpoint, isEncrypted: true, allowsInsecure: false)
    }
    #expect(throws: Never.self) {
      try EndpointPolicy.check(endpoint, isEncrypted: false, allowsInsecure: true)
    }
  }
}
