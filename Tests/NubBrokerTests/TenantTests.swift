@testable import NubBroker
import NubJSON
import NubSecurity
import NubZMQ
import Testing

@Suite("Broker: tenants and rights")
struct TenantTests {
  static let acme = Principal(name: "p", tenant: "acme")

  private func options(_ sent: [Sent]) -> String? {
    guard let body = sent.first?.body, body.count > 5 else { return nil }
    return String(decoding: body[5], as: UTF8.self)
  }

  @Test(
    "the broker writes the tenant of the producer's key",
    arguments: [
      (nil, "{\"tenant\":\"acme\"}"), ("", "{\"tenant\":\"acme\"}"), ("{}", "{\"tenant\":\"acme\"}"),
      (" { } ", " {\"tenant\":\"acme\" } "),
      ("{\"priority\":3}", "{\"tenant\":\"acme\",\"priority\":3}"),
      ("{\"x\":{\"tenant\":\"evil\"}}", "{\"tenant\":\"acme\",\"x\":{\"tenant\":\"evil\"}}"),
      ("{\"tenant\":\"acme\"}", "{\"tenant\":\"acme\"}"),
      ("{\"ten\\u0061nt\":\"\\u0061cme\"}", "{\"ten\\u0061nt\":\"\\u0061cme\"}"),
    ] as [(String?, String)])
  func written(sent: String?, expected: String) throws {
    let h = Harness()
    _ = try h.ready("w")
    #expect(options(try h.client("c", "echo", job("1", options: sent), Self.acme)) == expected)
  }

  @Test(
    "a key that is bound to a tenant cannot name another, however it is spelt",
    arguments: [
      ("{\"tenant\":\"evil\"}", 14), ("{\"ten\\u0061nt\":\"evil\"}", 14), ("{\"tenant\":\"\"}", 14),
      ("{\"tenant\":\"acme\",\"tenant\":\"evil\"}", 1),
      ("{\"tenant\":\"acme\",\"\\u0074enant\":\"evil\"}", 1),
      ("{\"tenant\":null}", 1), ("{\"tenant\":[\"evil\"]}", 1), ("[]", 1), ("{", 1),
      ("{} {\"tenant\":\"evil\"}", 1),
      ("{\"tenant\":\"acme\"}\u{0}", 1), ("{'tenant':'evil'}", 1), ("{\"a\":01}", 1), ("\u{FEFF}{}", 1),
    ] as [(String, UInt32)])
  func spoofed(text: String, status: UInt32) throws {
    let h = Harness()
    _ = try h.ready("w")
    #expect(try h.client("c", "echo", job("1", options: text), Self.acme).map(\.status) == [status])
    let accepted = h.broker.counters.replies
    #expect(accepted == 0)
  }

  @Test("a key that is bound to a tenant cannot hide a job from the broker")
  func hidden() throws {
    let h = Harness()
    _ = try h.ready("w")
    let evil = job("1", options: "{\"tenant\":\"evil\"}")
    // Behind an envelope it is found as the worker would find it.
    #expect(
      try h.client("c", "echo", [[1], [2]] + evil, Self.acme).first?.frames.dropFirst(5).first
        == Array("NUB1".utf8))
    // Where neither would find it, and without a readable id, it does not pass.
    let envelope = [[UInt8]](repeating: [0], count: 9)
    #expect(try h.client("c", "echo", envelope + evil, Self.acme).isEmpty)
    #expect(try h.client("c", "echo", [[UInt8](repeating: 0, count: 2_000)] + evil, Self.acme).isEmpty)
    #expect(try h.client("c", "echo", [[1]], Self.acme).isEmpty)
    #expect(try h.client("c", "echo", Array(evil.prefix(3)), Self.acme).map(\.status) == [1])
    let refused = h.broker.counters.unauthorized
    #expect(refused == 4)
  }

  @Test("a key that is bound to no tenant may name any")
  func unbound() throws {
    let h = Harness()
    _ = try h.ready("w")
    let sent = try h.client("c", "echo", job("1", options: "{\"tenant\":\"x\"}"), Principal(name: "p"))
    #expect(options(sent) == "{\"tenant\":\"x\"}")
  }

  @Test("a producer's key cannot register as a worker, nor a worker's key send jobs")
  func roles() throws {
    let h = Harness()
    #expect(try h.worker("w", 1, [Array("echo".utf8)], Principal(name: "p")) == [.disconnect("w")])
    #expect(try h.client("c", "echo", job("1"), Principal(name: "w", roles: .worker)).map(\.status) == [14])
    #expect(try h.worker("w", 1, [Array("echo".utf8)], Principal(name: "w", roles: .worker)).isEmpty)
  }

  @Test("a revoked key's messages are refused from then on")
  func revoked() throws {
    let h = Harness()
    _ = try h.ready("w")
    #expect(try h.client("c", "echo", job("1"), nil).map(\.status) == [14])
    _ = try h.client("c", "echo", job("2", verb: "ping"))
    let sent = try h.worker("w", 4, [], nil)
    #expect(sent.contains(.disconnect("w")))
    #expect(try h.client("c", "echo", job("3")).isEmpty, "a revoked worker gets nothing")
  }

  @Test("statistics are not shown to a tenant")
  func statistics() throws {
    let h = Harness()
    #expect(try h.client("c", "mmi.statistics", [[]], Self.acme).first?.text == "403")
  }

  @Test(
    "options are read as strictly as RFC 8259",
    arguments: [
      ("{\"priority\":9,\"x\":[1,-2.5e+3,true,false,null,{\"y\":\"\\ud83d\\ude00\"}]}", true),
      ("{\"priority\":10}", false), ("{\"priority\":-1}", false), ("{\"priority\":1.0}", false),
      ("{\"expires_at_ms\":18446744073709551615}", true), ("{\"expires_at_ms\":18446744073709551616}", false),
      ("{\"a\":\"\\ud83d\"}", false), ("{\"a\":\"\\x\"}", false), ("{\"a\":\"\u{1}\"}", false),
      ("{\"a\":tru}", false),
      ("{\"a\":1,}", false), ("{\"a\" 1}", false), ("{\"a\":}", false), ("{\"a\":.5}", false),
      ("{\"a\":1.}", false),
      (String(repeating: "{\"a\":", count: 40) + "1" + String(repeating: "}", count: 40), false),
      ("{\"a\":\"" + String(repeating: "x", count: 65_536) + "\"}", false),
    ])
  func strict(text: String, isGood: Bool) {
    let bytes = Array(text.utf8)
    var accepted = true
    do { _ = try bytes.withUnsafeBytes { try BrokerOptions($0) } } catch { accepted = false }
    #expect(accepted == isGood)
  }

  @Test(
    "bytes that are not UTF-8 are no options",
    arguments: [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]] as [[UInt8]])
  func encoding(bytes: [UInt8]) {
    let text = Array("{\"a\":\"".utf8) + bytes + Array("\"}".utf8)
    #expect(throws: JSONError.self) {
      try text.withUnsafeBytes { _ = try BrokerOptions($0) }
    }
  }
}
