import NubBroker
import NubSecurity
import NubZMQ
import Testing

@Suite("Broker: workers that fail")
struct BrokerWorkersTests {
  @Test("workers are sent heartbeats, unless they were sent something else")
  func heartbeats() throws {
    let h = Harness()
    _ = try h.ready("w")
    #expect(h.pass(2_400).isEmpty)
    #expect(h.pass(500).map(\.command) == [4])
    _ = try h.worker("w", 4)
    _ = h.pass(2_000)
    #expect(try h.client("c", "echo", [[1]]).map(\.command) == [2])
    #expect(h.pass(600).isEmpty)
  }

  @Test("a worker that is silent for three intervals gets nothing more")
  func silence() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = h.pass(2_500)
    _ = h.pass(2_500)
    #expect(h.pass(2_500).isEmpty)
    #expect(try h.client("c", "echo", [[1]]).isEmpty)
    #expect(try h.worker("w", 4) == [.disconnect("w")], "it has to register again")
  }

  @Test("a call whose worker died is given back to its asker at once")
  func deadCall() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = try h.ready("v")
    _ = try h.client("c", "echo", job("1"))
    for _ in 0..<2 {
      _ = h.pass(2_500)
      _ = try h.worker("v", 4)
    }
    let sent = h.pass(2_500).filter { $0.peer == "c" || $0.command == 2 }
    #expect(sent.map(\.status) == [11])
  }

  @Test(
    "a request that may run twice goes to another worker, once", arguments: ["get_result", "put_cap", ""])
  func deadOther(verb: String) throws {
    let h = Harness()
    _ = try h.ready("v")
    _ = try h.ready("w")
    _ = try h.ready("u")
    let body = verb.isEmpty ? [[7]] : job("1", verb: verb)
    #expect(try h.client("c", "echo", body).first?.peer == "v")
    let again = try h.worker("v", 5)
    #expect(again.map(\.peer) == ["w"])
    #expect(again.first?.body == body)
    let last = try h.worker("w", 5)
    #expect(last.map(\.status) == (verb.isEmpty ? [] : [11]), "it may be what kills them")
  }

  @Test("with --redeliver always a call goes to another worker, with never nothing does")
  func policies() throws {
    let always = Harness { $0.redelivery = .always }
    _ = try always.ready("v")
    _ = try always.ready("w")
    _ = try always.client("c", "echo", job("1"))
    #expect(try always.worker("v", 5).map(\.peer) == ["w"])
    let never = Harness { $0.redelivery = .never }
    _ = try never.ready("v")
    _ = try never.ready("w")
    _ = try never.client("c", "echo", job("1", verb: "ping"))
    #expect(try never.worker("v", 5).map(\.status) == [11])
  }

  @Test("a request that could not be sent was not delivered: it goes to another worker, a call, too")
  func undeliverable() throws {
    let h = Harness()
    _ = try h.ready("v")
    _ = try h.ready("w")
    h.gone = [Array("v".utf8)]
    let sent = try h.client("c", "echo", job("1"))
    #expect(sent.map(\.peer) == ["w"])
    #expect(sent.first?.body == job("1"))
    let lost = h.broker.counters.workersLost
    #expect(lost == 1)
  }

  @Test("a reply to a client that has gone is counted, and its worker serves on")
  func goneClient() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = try h.client("c", "echo", job("1"))
    h.gone = [Array("c".utf8)]
    #expect(try h.reply("w", to: "c").isEmpty)
    #expect(try h.client("d", "echo", job("2")).map(\.peer) == ["w"])
  }

  @Test("a reply after the link was cut for too long reaches nobody, and its worker registers again")
  func lateReply() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = try h.client("c", "echo", job("1"))
    for _ in 0..<3 { _ = h.pass(2_500) }
    #expect(try h.reply("w", to: "c") == [.disconnect("w")])
    #expect(try h.ready("w2").isEmpty)
    #expect(try h.client("c", "echo", job("1")).map(\.peer) == ["w2"])
  }

  @Test("a worker answers its own client and no other")
  func forgedReply() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = try h.client("c", "echo", job("1"))
    let sent = try h.reply("w", to: "victim")
    #expect(sent.contains(.disconnect("w")))
    #expect(!sent.contains { $0.peer == "victim" })
    #expect(sent.first { $0.peer == "c" }?.status == 11)
  }

  @Test("valid commands at the wrong time are answered with DISCONNECT", arguments: [UInt8(2), 3, 4])
  func unexpected(number: UInt8) throws {
    let h = Harness()
    #expect(try h.worker("w", number, number == 4 ? [] : [[1], [], [1]]) == [.disconnect("w")])
    if number != 4 {
      _ = try h.ready("w")
      #expect(try h.worker("w", number, [[1], [], [1]]) == [.disconnect("w")])
      #expect(try h.client("c", "echo", job("1")).isEmpty, "it is not registered any more")
    }
  }

  @Test("a second READY ends the registration")
  func readyTwice() throws {
    let h = Harness()
    _ = try h.ready("w")
    #expect(try h.ready("w") == [.disconnect("w")])
    #expect(try h.client("c", "echo", job("1")).isEmpty)
  }

  @Test("DISCONNECT is not answered, before READY or after")
  func goodbye() throws {
    let h = Harness()
    #expect(try h.worker("w", 5).isEmpty)
    _ = try h.ready("w")
    #expect(try h.worker("w", 5).isEmpty)
    #expect(h.pass(2_600).isEmpty)
  }

  @Test("registrations are bounded")
  func bounded() throws {
    let h = Harness { $0.workers = 2 }
    _ = try h.ready("a")
    _ = try h.ready("b")
    #expect(try h.ready("c") == [.disconnect("c")])
  }
}
