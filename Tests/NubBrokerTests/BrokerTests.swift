import NubBroker
import NubSecurity
import NubZMQ
import Testing

@Suite("Broker")
struct BrokerTests {
  @Test("a request goes to a worker of its service and the reply to the client that asked")
  func roundTrip() throws {
    let h = Harness()
    #expect(try h.ready("w").isEmpty)
    let sent = try h.client("c", "echo", [[1], [2]])
    #expect(sent == [Sent(peer: "w", frames: [[], Harness.mdpWorker, [2], Array("c".utf8), [], [1], [2]])])
    let replies = try h.reply("w", to: "c", [[9], [8]])
    #expect(replies == [Sent(peer: "c", frames: [[], Harness.mdpClient, Array("echo".utf8), [9], [8]])])
  }

  @Test("a request waits for a worker, and for its service")
  func waits() throws {
    let h = Harness()
    #expect(try h.client("c", "echo", [[1]]).isEmpty)
    #expect(try h.ready("w").map(\.command) == [2])
    #expect(try h.client("d", "echo", [[2]]).isEmpty, "one request at a time")
    #expect(try h.reply("w", to: "c").map(\.peer) == ["c", "w"])
  }

  @Test("the worker that has waited longest is next")
  func leastRecentlyUsed() throws {
    let h = Harness()
    for name in ["a", "b", "c"] { _ = try h.ready(name) }
    #expect(try h.client("x", "echo", [[1]]).first?.peer == "a")
    _ = try h.reply("a", to: "x")
    #expect(try h.client("x", "echo", [[1]]).first?.peer == "b")
    #expect(try h.client("x", "echo", [[1]]).first?.peer == "c")
    #expect(try h.client("x", "echo", [[1]]).first?.peer == "a")
  }

  @Test("higher priorities go first, and clients of one priority take turns")
  func priorities() throws {
    let h = Harness()
    for (client, id, priority) in [
      ("a", "a1", 5), ("a", "a2", 5), ("a", "a3", 5), ("b", "b1", 5), ("c", "c9", 9),
    ] {
      _ = try h.client(client, "echo", job(id, options: "{\"priority\":\(priority)}"))
    }
    var order: [String] = []
    var sent = try h.ready("w")
    while let request = sent.first(where: { $0.command == 2 }) {
      order.append(String(decoding: request.body[2], as: UTF8.self))
      sent = try h.reply("w", to: String(decoding: request.frames[3], as: UTF8.self))
    }
    #expect(order == ["c9", "a1", "b1", "a2", "a3"])
  }

  @Test("waiting makes up for priority: nothing starves")
  func aging() throws {
    let h = Harness { $0.serviceTimeout = 10_000_000 }
    _ = try h.client("low", "echo", job("low", options: "{\"priority\":0}"))
    _ = h.pass(90_001)
    _ = try h.client("high", "echo", job("high", options: "{\"priority\":9}"))
    #expect(try h.ready("w").first?.body[2] == Array("low".utf8))
  }

  @Test("a job that has expired is answered and never sent")
  func expiry() throws {
    let h = Harness()
    let soon = h.now.unix + 1_000
    #expect(try h.client("c", "echo", job("1", options: "{\"expires_at_ms\":\(soon)}")).isEmpty)
    #expect(
      try h.client("c", "echo", job("2", options: "{\"expires_at_ms\":\(soon - 2_000)}")).first?.status == 5)
    #expect(h.pass(1_000).isEmpty, "not after it yet")
    #expect(h.pass(1_000).map(\.status) == [5])
    #expect(try h.ready("w").isEmpty)
  }

  @Test("a job for a service that nobody offers is given back after a while")
  func unserved() throws {
    let h = Harness()
    _ = try h.client("c", "nobody", job("1"))
    _ = try h.client("c", "nobody", [[1]])
    #expect(h.pass(29_000).isEmpty)
    let sent = h.pass(1_500)
    #expect(
      sent.map(\.status) == [11], "what is not a job is dropped: nobody would understand the broker's answer")
    let meta = String(decoding: sent.first?.body.last ?? [], as: UTF8.self)
    #expect(meta.contains("\"retry_after_ms\":500"))
  }

  @Test("full queues refuse, by service, by client, in all and in bytes")
  func bounds() throws {
    let h = Harness {
      $0.requestsPerService = 3
      $0.requestsPerClient = 2
      $0.requests = 5
    }
    func status(_ sent: [Sent]) -> UInt32? { sent.first?.status }
    #expect(status(try h.client("a", "echo", job("1"))) == nil)
    #expect(status(try h.client("a", "echo", job("2"))) == nil)
    #expect(status(try h.client("a", "echo", job("3"))) == 11, "client")
    #expect(status(try h.client("b", "echo", job("4"))) == nil)
    #expect(status(try h.client("c", "echo", job("5"))) == 11, "service")
    #expect(status(try h.client("c", "other", job("6"))) == nil)
    #expect(status(try h.client("d", "other", job("7"))) == nil)
    #expect(status(try h.client("e", "third", job("8"))) == 11, "all")
    _ = try h.ready("w")
    #expect(status(try h.client("e", "third", job("9"))) == nil, "room again")

    let small = Harness { $0.waitingBytes = 1_000 }
    var large = job("1")
    large[4] = [UInt8](repeating: 0, count: 2_000)
    #expect(status(try small.client("a", "echo", large)) == 11)
    let few = Harness { $0.services = 1 }
    #expect(status(try few.client("a", "one", job("1"))) == nil)
    #expect(status(try few.client("a", "two", job("1"))) == 11)
  }

  @Test("a thousand clients wait and all are answered once")
  func thousand() throws {
    let h = Harness()
    for index in 0..<1_000 { #expect(try h.client("c\(index)", "echo", job("j\(index)")).isEmpty) }
    var answered: Set<String> = []
    var sent = try h.ready("w")
    while let request = sent.first(where: { $0.command == 2 }) {
      let client = String(decoding: request.frames[3], as: UTF8.self)
      sent = try h.reply("w", to: client)
      #expect(answered.insert(client).inserted)
      #expect(sent.first?.peer == client)
    }
    #expect(answered.count == 1_000)
  }

  @Test("management services answer by RFC 8")
  func management() throws {
    let h = Harness()
    #expect(try h.client("c", "mmi.service", [Array("echo".utf8)]).first?.text == "404")
    _ = try h.client("c", "echo", [[1]])
    #expect(
      try h.client("c", "mmi.service", [Array("echo".utf8)]).first?.text == "404", "a queue is no worker")
    _ = try h.ready("w")
    #expect(try h.client("c", "mmi.service", [Array("echo".utf8)]).first?.text == "200")
    #expect(try h.client("c", "mmi.nonsense", [[1]]).first?.text == "501")
    #expect(try h.client("c", "mmi.statistics", [[]]).first?.text.contains("\"echo\":{\"workers\":1") == true)
    #expect(try h.ready("x", "mmi.service") == [.disconnect("x")])
    _ = try h.worker("w", 5)
    #expect(try h.client("c", "mmi.service", [Array("echo".utf8)]).first?.text == "404")
  }

  @Test("a drained broker gives back what waits, refuses what comes, and delivers what is in hand")
  func drain() throws {
    let h = Harness()
    _ = try h.ready("w")
    _ = try h.client("a", "echo", job("1"))
    _ = try h.client("b", "echo", job("2"))
    h.broker.drain()
    #expect(h.sent().map(\.status) == [11])
    #expect(try h.client("c", "echo", job("3")).first?.status == 11)
    let isIdle = h.broker.isIdle
    #expect(!isIdle)
    #expect(try h.reply("w", to: "a").map(\.peer) == ["a"])
    let isIdleNow = h.broker.isIdle
    #expect(isIdleNow)
    h.broker.disconnectWorkers()
    #expect(h.sent() == [.disconnect("w")])
  }

  @Test(
    "what is not MDP is dropped without an answer",
    arguments: [
      [], [[1]], [[1], []], [[1], [], Harness.mdpClient], [[1], [2], Harness.mdpClient, [3], [4]],
      [[1], [], Array("MDPC02".utf8), [101], [4]], [[1], [], Harness.mdpClient, [101]],
      [[1], [], Harness.mdpClient, [], [4]], [[1], [], Harness.mdpClient, [0], [4]],
      [[1], [], Harness.mdpClient, [UInt8](repeating: 101, count: 256), [4]],
      [[1], [], Harness.mdpWorker, []],
      [[1], [], Harness.mdpWorker, [9]], [[1], [], Harness.mdpWorker, [1, 1], [101]],
      [[1], [], Harness.mdpWorker, [1]], [[1], [], Harness.mdpWorker, [1], [7]],
      [[1], [], Harness.mdpWorker, [1], [101], [102]], [[], [], Harness.mdpClient, [101], [4]],
    ] as [[[UInt8]]])
  func hostile(frames: [[UInt8]]) throws {
    let h = Harness()
    #expect(try h.receive(frames).isEmpty)
    let invalid = h.broker.counters.invalid
    #expect(invalid == 1)
    let workers = h.broker.statistics(at: h.now)
    #expect(workers.contains("\"workers\":0"))
  }

  @Test("random messages from many peers neither end it nor make it forget its bounds")
  func fuzz() throws {
    let h = Harness {
      $0.requests = 50
      $0.services = 10
      $0.workers = 8
    }
    var generator = SystemRandomNumberGenerator()
    let words: [[UInt8]] = [
      [], Harness.mdpClient, Harness.mdpWorker, [1], [2], [3], [4], [5], Array("echo".utf8),
      Array("NUB1".utf8),
      Array("mmi.service".utf8), Array("{\"tenant\":\"x\"}".utf8), Array("a".utf8), Array("b".utf8), [0xFF],
    ]
    for _ in 0..<30_000 {
      var frames: [[UInt8]] = [[UInt8.random(in: 97...105, using: &generator)], []]
      frames.append(Bool.random(using: &generator) ? Harness.mdpClient : Harness.mdpWorker)
      for _ in 0..<Int.random(in: 0...8, using: &generator) {
        frames.append(words[Int.random(in: 0..<words.count, using: &generator)])
      }
      _ = try h.receive(frames)
      _ = h.pass(UInt64.random(in: 0...400, using: &generator))
    }
    // Everything waiting expires or is given back, and the sums come out even.
    for _ in 0..<100 { _ = h.pass(10_000) }
    let state = h.broker.statistics(at: h.now)
    #expect(state.contains("\"waiting\":0,\"waiting_bytes\":0,\"workers\":0"))
  }
}
