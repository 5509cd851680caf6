import NubSecurity
import NubZMQ

/// A broker among peers that send what they like: whatever comes, what it counts is what it holds, and it sends nobody more than RFC 7
/// allows.
public func fuzzMDP(_ input: UnsafeRawBufferPointer) {
  var events = Events(input)
  var configuration = BrokerConfiguration()
  configuration.requestsPerService = 6
  configuration.requestsPerClient = 4
  configuration.requests = 12
  configuration.waitingBytes = 4_096
  configuration.services = 4
  configuration.workers = 6
  configuration.redelivery = [.safe, .always, .never][Int(events.byte() % 3)]
  var broker = Broker(configuration)
  var worker = MajordomoWorker(service: "echo", seed: 7)
  var now = BrokerTime(monotonic: 1_000, unix: 1_000)
  var delivered: MajordomoWorker.Request?
  while !events.isAtEnd {
    let event = events.byte()
    now.monotonic += UInt64(event >> 4) * 700
    now.unix += Int64(event >> 4) * 700
    switch event & 15 {
    case 0...7:
      guard let message = try? Multipart(events.frames(peer: true)) else { return }
      broker.receive(message, from: events.principal(), at: now)
    case 8: broker.tick(at: now)
    case 9: if let next = broker.nextOutbound() { broker.undeliverable(next, at: now) }
    case 10: if event >> 4 == 15 { broker.drain() }
    case 11:
      guard let message = try? Multipart(events.frames(peer: false)) else { return }
      check(worker.receive(message, at: now.monotonic), &worker, &delivered)
    case 12: check(worker.tick(at: now.monotonic), &worker, &delivered)
    case 13:
      if let request = delivered { _ = worker.reply(to: request, at: now.monotonic) }
      check(worker.afterReply(at: now.monotonic), &worker, &delivered)
    case 14: check(worker.stop(at: now.monotonic), &worker, &delivered)
    default: worker.resume(at: now.monotonic)
    }
    if event & 15 != 9 { while let next = broker.nextOutbound() { check(next) } }
    check(broker, configuration)
  }
  _ = broker.statistics(at: now)
  broker.disconnectWorkers()
}

private func check(_ outbound: Broker.Outbound) {
  require(!outbound.peer.isEmpty && outbound.head.count >= 3 && outbound.head[0].isEmpty, "not a message of MDP's")
  require(outbound.head[1] == (outbound.isForWorker ? MDP.worker : outbound.head[1]), "a worker is addressed as a client")
}

private func check(_ broker: borrowing Broker, _ configuration: BrokerConfiguration) {
  var waiting = 0
  var bytes = 0
  var workers = 0
  for service in broker.services.values {
    waiting += service.queue.count
    bytes += service.queue.byteCount
    workers += service.workers
    require(service.idle.count <= service.workers, "more idle workers than workers")
    require(service.queue.isEmpty || service.idle.isEmpty, "a request waits beside a worker that is idle")
    for worker in service.idle {
      require(worker.request == nil && broker.workers[worker.id] === worker, "an idle worker that is busy or gone")
    }
  }
  require(waiting == broker.waiting && bytes == broker.waitingBytes, "what waits is miscounted")
  require(broker.waitingByClient.values.reduce(0, +) == waiting, "what waits for clients is miscounted")
  require(workers == broker.workers.count, "workers are miscounted")
  // What a dead worker had comes back beyond the bounds; there are no more of those than workers.
  require(waiting <= configuration.requests + configuration.workers, "more waits than may")
  require(broker.services.count <= configuration.services && workers <= configuration.workers, "more than may be known")
}

private func check(
  _ actions: [MajordomoWorker.Action], _ worker: inout MajordomoWorker, _ delivered: inout MajordomoWorker.Request?
) {
  for action in actions {
    switch action {
    case .deliver(let request, let body):
      require(worker.isBusy && body >= 5, "a request is delivered to nobody")
      delivered = request
    case .send(let frames):
      require(frames.count >= 3 && frames[0].isEmpty && frames[1] == MDP.worker, "not a worker's message")
    case .open, .close: break
    }
  }
  require(!worker.isStopped || !worker.isBusy, "a worker that has stopped has a request")
}

/// What a broker reads of a job's options; nil where it refuses them.
public func brokerOptions(_ text: UnsafeRawBufferPointer) -> (tenant: [UInt8]?, priority: UInt8, expires: UInt64?)? {
  guard let options = try? BrokerOptions(text) else { return nil }
  return (options.tenant, options.priority, options.expiresAtMilliseconds)
}

/// The options with a key's tenant written into them, as a broker passes them on; nil where it refuses to.
public func brokerOptions(_ text: UnsafeRawBufferPointer, naming tenant: String) -> [UInt8]? {
  let words = ["NUB1", "call", "id", "\u{1}\u{0}\u{0}\u{0}", ""].map { Array($0.utf8) }
  guard let message = try? Multipart(words + [[UInt8](text)]), let job = JobMessage(message, body: 0) else { return nil }
  guard (try? job.enforce(tenant: tenant, in: message)) != nil else { return nil }
  return message[5]
}

private func require(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}

/// Fuzzed bytes as what happens to a broker.
private struct Events {
  private var rest: Slice<UnsafeRawBufferPointer>

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes[...] }

  var isAtEnd: Bool { rest.isEmpty }
  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  mutating func principal() -> Principal? {
    let byte = byte()
    guard byte & 3 != 0 else { return byte & 4 == 0 ? nil : .anonymous }
    let roles = Principal.Roles(rawValue: byte & 3)
    return Principal(name: "x", tenant: byte & 8 == 0 ? nil : "acme", roles: roles)
  }

  private static let words: [[UInt8]] = ([
    "", "MDPC01", "MDPW01", "\u{1}", "\u{2}", "\u{3}", "\u{4}", "\u{5}", "echo", "other", "mmi.service", "mmi.statistics",
    "NUB1", "call", "ping", "id", "c1", "c2", "{\"priority\":9}", "{\"expires_at_ms\":2000}", "{\"tenant\":\"acme\"}",
    "{\"tenant\":\"evil\"}", "{}",
  ] as [String]).map { Array($0.utf8) }

  /// A message, each frame a word or bytes; the shape that matters most comes most often.
  mutating func frames(peer: Bool) -> [[UInt8]] {
    var frames: [[UInt8]] = []
    let shape = byte()
    if peer { frames.append([0x70, shape & 7]) }
    switch shape >> 5 {
    case 0...2: frames += [[], MDP.client, Array("echo".utf8)]
    case 3, 4: frames += [[], MDP.worker, [byte() % 7]]
    case 5: frames += [[], MDP.worker, [2], [0x70, byte() & 7], []]
    case 6: frames += [[], MDP.worker, [3], [0x70, byte() & 7], []]
    default: break
    }
    for _ in 0..<Int(byte() & 15) {
      let pick = Int(byte())
      if pick < Self.words.count * 8 {
        frames.append(Self.words[pick % Self.words.count])
      } else {
        let size = Int(byte() & 63)
        frames.append([UInt8](rest.prefix(size)))
        rest = rest.dropFirst(size)
      }
    }
    return frames
  }
}
