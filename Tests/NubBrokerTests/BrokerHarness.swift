@testable import NubBroker
import NubSecurity
import NubZMQ
import Testing

/// A broker, a virtual clock, and what it wants to send. A class, because expectations cannot borrow noncopyable values.
final class Harness {
  static let mdpWorker = Array("MDPW01".utf8)
  static let mdpClient = Array("MDPC01".utf8)

  var broker: Broker
  var now = BrokerTime(monotonic: 1_000, unix: 1_700_000_000_000)
  /// Peers that cannot be sent to.
  var gone: Set<[UInt8]> = []

  init(_ change: (inout BrokerConfiguration) -> Void = { _ in }) {
    var configuration = BrokerConfiguration()
    change(&configuration)
    broker = Broker(configuration)
  }

  func pass(_ milliseconds: UInt64) -> [Sent] {
    now.monotonic += milliseconds
    now.unix += Int64(milliseconds)
    broker.tick(at: now)
    return sent()
  }

  func receive(_ frames: [[UInt8]], _ principal: Principal? = .anonymous) throws -> [Sent] {
    broker.receive(try Multipart(frames), from: principal, at: now)
    return sent()
  }

  func client(
    _ id: String, _ service: String, _ body: [[UInt8]], _ principal: Principal? = .anonymous
  ) throws -> [Sent] {
    try receive([Array(id.utf8), [], Self.mdpClient, Array(service.utf8)] + body, principal)
  }

  func worker(
    _ id: String, _ command: UInt8, _ rest: [[UInt8]] = [], _ principal: Principal? = .anonymous
  ) throws -> [Sent] {
    try receive([Array(id.utf8), [], Self.mdpWorker, [command]] + rest, principal)
  }

  func ready(_ id: String, _ service: String = "echo") throws -> [Sent] {
    try worker(id, 1, [Array(service.utf8)])
  }

  func reply(_ id: String, to client: String, _ body: [[UInt8]] = [[1]]) throws -> [Sent] {
    try worker(id, 3, [Array(client.utf8), []] + body)
  }

  func sent() -> [Sent] {
    var result: [Sent] = []
    while let outbound = broker.nextOutbound() {
      if gone.contains(outbound.peer) {
        broker.undeliverable(outbound, at: now)
        continue
      }
      result.append(
        Sent(
          peer: String(decoding: outbound.peer, as: UTF8.self),
          frames: outbound.head + (outbound.body?.frames(from: outbound.bodyStart) ?? [])))
    }
    return result
  }
}

struct Sent: Equatable, CustomStringConvertible {
  var peer: String
  var frames: [[UInt8]]

  /// For messages to workers.
  var command: UInt8? { frames.count > 2 && frames[1] == Harness.mdpWorker ? frames[2].first : nil }
  /// A request's body.
  var body: [[UInt8]] { command == nil ? Array(frames.dropFirst(3)) : Array(frames.dropFirst(5)) }
  /// A reply's status, when it is one of the job protocol.
  var status: UInt32? {
    let body = body
    guard body.count >= 4, body[0] == Array("NUB1".utf8) else { return nil }
    return body[3].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
  var text: String { body.first.map { String(decoding: $0, as: UTF8.self) } ?? "" }
  var description: String { "\(peer): \(frames.map { String(decoding: $0, as: UTF8.self) })" }

  static func disconnect(_ peer: String) -> Sent { Sent(peer: peer, frames: [[], Harness.mdpWorker, [5]]) }
}

func job(_ id: String, verb: String = "call", options: String? = nil) -> [[UInt8]] {
  var frames = ["NUB1", verb, id, "\u{1}\0\0\0", "body"].map { Array($0.utf8) }
  if let options { frames.append(Array(options.utf8)) }
  return frames
}
