import NubHTTP
import Testing

@Suite struct HTTPAddressTests {
  @Test func aQuestionsParametersAreDecodedAsFormsEncodeThem() {
    let request = PageRequest(path: "/job", query: "id=a%20b+c&x=&bad=%g1")
    #expect(request.parameter("id") == "a b c" && request.parameter("x") == "")
    #expect(request.parameter("y") == nil && request.parameter("bad") == nil)
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
