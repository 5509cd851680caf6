import NubBroker
import NubZMQ
import Testing

private let worker = Array("MDPW01".utf8)
private func command(_ number: UInt8, _ rest: [[UInt8]] = []) throws -> Multipart {
  try Multipart([[], worker, [number]] + rest)
}
private func work(_ client: String = "client", _ body: String = "work") throws -> Multipart {
  try command(2, [Array(client.utf8), [], Array(body.utf8)])
}

/// A class around the machine, because expectations cannot borrow noncopyable values.
private final class Machine {
  var machine: MajordomoWorker
  init(seed: UInt64 = 1) { machine = MajordomoWorker(service: "echo", seed: seed) }
  func tick(at now: UInt64) -> [MajordomoWorker.Action] { machine.tick(at: now) }
  func receive(_ message: Multipart, at now: UInt64) -> [MajordomoWorker.Action] {
    machine.receive(message, at: now)
  }
  func reply(to request: MajordomoWorker.Request, at now: UInt64) -> [[UInt8]]? {
    machine.reply(to: request, at: now)
  }
  func afterReply(at now: UInt64) -> [MajordomoWorker.Action] { machine.afterReply(at: now) }
  func stop(at now: UInt64) -> [MajordomoWorker.Action] { machine.stop(at: now) }
  var deadline: UInt64? { machine.deadline }
  var isBusy: Bool { machine.isBusy }
  var isStopped: Bool { machine.isStopped }
  var counters: MajordomoWorker.Counters { machine.counters }
}

@Suite("MDP worker")
struct MajordomoWorkerTests {
  typealias Action = MajordomoWorker.Action
  static let ready: [[UInt8]] = [[], worker, [1], Array("echo".utf8)]
  static let heartbeat: [[UInt8]] = [[], worker, [4]]
  static let goodbye: [[UInt8]] = [[], worker, [5]]

  /// A machine that has just registered at time 0.
  private static func registered() -> Machine {
    let machine = Machine()
    #expect(machine.tick(at: 0) == [.open, .send(ready)])
    return machine
  }

  @Test("a conversation starts with a new socket and one READY for one service")
  func start() {
    let machine = Machine()
    #expect(machine.deadline == 0)
    #expect(machine.tick(at: 0) == [.open, .send(Self.ready)])
    #expect(machine.tick(at: 1).isEmpty)
    #expect(machine.deadline == 2_500)
  }

  @Test("a heartbeat is sent each interval in which nothing else was")
  func heartbeats() throws {
    let machine = Self.registered()
    #expect(machine.tick(at: 2_499).isEmpty)
    #expect(machine.tick(at: 2_500) == [.send(Self.heartbeat)])
    let actions = machine.receive(try work(), at: 3_000)
    guard case .deliver(let ticket, body: 5)? = actions.first else { return #expect(Bool(false)) }
    #expect(machine.reply(to: ticket, at: 4_900) != nil)
    #expect(machine.tick(at: 5_000).isEmpty)
    #expect(machine.tick(at: 7_400) == [.send(Self.heartbeat)])
  }

  @Test("a broker that is silent for three intervals is given up, and looked for again on a new socket")
  func brokerDies() throws {
    let machine = Self.registered()
    _ = machine.tick(at: 2_500)
    _ = machine.tick(at: 5_000)
    #expect(machine.tick(at: 7_499).isEmpty)
    #expect(machine.tick(at: 7_500) == [.close])
    let again = try #require(machine.deadline)
    #expect((7_500 + 125...7_500 + 250).contains(again))
    #expect(machine.tick(at: again - 1).isEmpty)
    #expect(machine.tick(at: again) == [.open, .send(Self.ready)])
    #expect(machine.counters.reconnects == 1)
  }

  @Test("any command of the broker's keeps it alive", arguments: [false, true])
  func alive(isRequest: Bool) throws {
    let machine = Self.registered()
    _ = machine.receive(try isRequest ? work() : command(4), at: 7_000)
    #expect(!machine.tick(at: 7_500).contains(.close))
    #expect(machine.tick(at: 14_500) == [.close])
  }

  @Test("the pause before the next attempt doubles up to its maximum, and is short again after a success")
  func backoff() throws {
    let machine = Self.registered()
    var now: UInt64 = 0
    var longest: UInt64 = 0
    for _ in 0..<12 {
      while machine.tick(at: now) != [.close] { now = try #require(machine.deadline) }
      let pause = try #require(machine.deadline) - now
      #expect(pause <= 30_000)
      longest = max(longest, pause)
      now += pause
    }
    #expect(longest >= 15_000)
    _ = machine.tick(at: now)
    _ = machine.receive(try command(4), at: now)
    _ = machine.receive(try command(5), at: now)
    #expect(try #require(machine.deadline) - now <= 250)
  }

  @Test("machines with different seeds do not come back at the same moment")
  func jitter() throws {
    var pauses: Set<UInt64> = []
    for seed in 1...32 {
      let machine = Machine(seed: UInt64(seed))
      _ = machine.tick(at: 0)
      _ = machine.receive(try command(5), at: 0)
      pauses.insert(try #require(machine.deadline))
    }
    #expect(pauses.count > 8)
  }

  @Test("a request is delivered with its body's place, and its reply goes to the client that asked")
  func request() throws {
    let machine = Self.registered()
    let actions = machine.receive(try command(2, [[1, 2, 3], [], [7], [8]]), at: 10)
    guard case .deliver(let ticket, body: 5)? = actions.first else { return #expect(Bool(false)) }
    #expect(machine.isBusy)
    #expect(machine.reply(to: ticket, at: 20) == [[], worker, [3], [1, 2, 3], []])
    #expect(!machine.isBusy)
    #expect(machine.reply(to: ticket, at: 21) == nil, "twice")
    #expect(machine.counters.lateReplies == 1)
  }

  @Test("a reply of an ended conversation is dropped")
  func lateReply() throws {
    let machine = Self.registered()
    guard case .deliver(let old, _)? = machine.receive(try work(), at: 0).first else {
      return #expect(Bool(false))
    }
    #expect(machine.receive(try command(5), at: 1) == [.close])
    #expect(machine.reply(to: old, at: 2) == nil, "while closed")
    _ = machine.tick(at: try #require(machine.deadline))
    guard case .deliver(let new, _)? = machine.receive(try work(), at: 2_000).first else {
      return #expect(Bool(false))
    }
    #expect(machine.reply(to: old, at: 2_001) == nil, "with another request in hand")
    #expect(machine.reply(to: new, at: 2_002) != nil)
  }

  @Test("DISCONNECT closes the socket, and nothing more is sent on it")
  func disconnect() throws {
    let machine = Self.registered()
    #expect(machine.receive(try command(5), at: 1) == [.close])
    #expect(machine.receive(try work(), at: 2).isEmpty)
    #expect(machine.tick(at: 2).isEmpty)
  }

  @Test("a second request before the reply to the first ends the conversation")
  func overlapping() throws {
    let machine = Self.registered()
    _ = machine.receive(try work(), at: 1)
    #expect(machine.receive(try work(), at: 2) == [.close])
  }

  @Test("commands that are a worker's to send end the conversation", arguments: [UInt8(1), 3])
  func notABrokers(number: UInt8) throws {
    let machine = Self.registered()
    #expect(machine.receive(try command(number), at: 1) == [.close])
  }

  @Test(
    "what is no valid command is dropped, and keeps nobody alive",
    arguments: [
      [], [[]], [[], worker], [[1], worker, [4]], [[], Array("MDPW02".utf8), [4]], [[], worker, []],
      [[], worker, [4, 4]], [[], worker, [0]], [[], worker, [6]], [[], worker, [255]], [[], worker, [2]],
      [[], worker, [2], [1]], [[], worker, [2], [1], []], [[], worker, [2], [], [], [1]],
      [[], worker, [2], [1], [1], [1]], [[], Array("MDPC01".utf8), [2], [1], [], [1]],
    ] as [[[UInt8]]])
  func hostile(frames: [[UInt8]]) throws {
    let machine = Self.registered()
    #expect(machine.receive(try Multipart(frames), at: 7_000).isEmpty)
    #expect(machine.counters.dropped == 1)
    #expect(!machine.isBusy)
    #expect(machine.tick(at: 7_500) == [.close])
  }

  @Test("without a socket it tries again after a pause")
  func openFailed() throws {
    let machine = Machine()
    #expect(machine.tick(at: 0) == [.open, .send(Self.ready)])
    machine.machine.openFailed(at: 0)
    #expect(machine.receive(try work(), at: 1).isEmpty)
    let again = try #require(machine.deadline)
    #expect(again > 0)
    #expect(machine.tick(at: again) == [.open, .send(Self.ready)])
  }

  @Test("an idle worker says goodbye at once")
  func stopIdle() {
    let machine = Self.registered()
    #expect(machine.stop(at: 1) == [.send(Self.goodbye), .close])
    #expect(machine.isStopped)
    #expect(machine.deadline == nil)
    #expect(machine.tick(at: 99_999).isEmpty)
  }

  @Test("a busy worker says goodbye after its reply")
  func stopBusy() throws {
    let machine = Self.registered()
    guard case .deliver(let ticket, _)? = machine.receive(try work(), at: 1).first else {
      return #expect(Bool(false))
    }
    #expect(machine.stop(at: 2).isEmpty)
    #expect(machine.tick(at: 2_500) == [.send(Self.heartbeat)])
    #expect(machine.reply(to: ticket, at: 2_600) != nil)
    #expect(machine.afterReply(at: 2_600) == [.send(Self.goodbye), .close])
    #expect(machine.isStopped)
  }

  @Test("a worker that stops does not look for a broker that has gone")
  func stopWithoutBroker() throws {
    let machine = Self.registered()
    _ = machine.receive(try work(), at: 1)
    _ = machine.stop(at: 2)
    #expect(machine.tick(at: 7_501) == [.close])
    #expect(machine.isStopped)
  }

  @Test("a worker between two attempts stops without a word")
  func stopClosed() throws {
    let machine = Self.registered()
    _ = machine.receive(try command(5), at: 1)
    #expect(machine.stop(at: 2).isEmpty)
    #expect(machine.isStopped)
  }

  @Test("random messages never make it do what RFC 7 does not allow")
  func fuzz() throws {
    var generator = SystemRandomNumberGenerator()
    let machine = Self.registered()
    var isOpen = true
    var now: UInt64 = 0
    for _ in 0..<20_000 {
      now += UInt64.random(in: 0...300, using: &generator)
      let frames = (0..<Int.random(in: 0...7, using: &generator)).map { index -> [UInt8] in
        switch Int.random(in: 0...5, using: &generator) {
        case 0: []
        case 1: [UInt8.random(in: 0...6, using: &generator)]
        case 2: worker
        default:
          index == 0
            ? [] : index == 1 ? worker : index == 4 ? [] : [UInt8.random(in: 0...6, using: &generator)]
        }
      }
      for action in machine.receive(try Multipart(frames), at: now) + machine.tick(at: now) {
        switch action {
        case .open:
          #expect(!isOpen)
          isOpen = true
        case .close:
          #expect(isOpen)
          isOpen = false
        case .send: #expect(isOpen)
        case .deliver(let ticket, let body):
          #expect(isOpen && body == 5 && frames.count >= 6)
          if Bool.random(using: &generator) { #expect(machine.reply(to: ticket, at: now) != nil) }
        }
      }
    }
  }
}
