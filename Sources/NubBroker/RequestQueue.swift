internal import DequeModule
internal import NubZMQ

/// A client's request, from its arrival to its reply.
final class PendingRequest {
  let client: [UInt8]
  /// `nil` when it is not a nub job.
  let job: JobMessage?
  let options: BrokerOptions
  let arrived: UInt64
  let byteCount: Int
  /// The request's frames, from `body` on; `nil` while a worker has the only copy.
  var message: Multipart?
  let body: Int
  /// How often it was given to a worker.
  var deliveries = 0

  init(
    client: [UInt8], job: JobMessage?, options: BrokerOptions, arrived: UInt64, message: Multipart, body: Int
  ) {
    self.client = client
    self.job = job
    self.options = options
    self.arrived = arrived
    self.message = message
    self.body = body
    byteCount = message.byteCount
  }

  /// Whether it must not be started any more. A worker starts a job that expires in this very millisecond.
  func isExpired(_ now: BrokerTime) -> Bool {
    guard let expires = options.expiresAtMilliseconds else { return false }
    return now.unix > Int64(clamping: expires)
  }
}

/// A service's waiting requests: by priority with aging, fair between clients of one priority, first come first served for each
/// client.
struct RequestQueue {
  /// Waiting clients take turns.
  private struct Level {
    var turns: Deque<[UInt8]> = []
    var waiting: [[UInt8]: Deque<PendingRequest>] = [:]

    var next: PendingRequest? { turns.first.flatMap { waiting[$0]?.first } }

    mutating func append(_ request: PendingRequest) {
      if waiting[request.client, default: []].isEmpty { turns.append(request.client) }
      waiting[request.client, default: []].append(request)
    }

    /// In front of everything: it has had its turn once.
    mutating func prepend(_ request: PendingRequest) {
      if waiting[request.client] != nil { turns.removeAll { $0 == request.client } }
      turns.prepend(request.client)
      waiting[request.client, default: []].prepend(request)
    }

    mutating func take() -> PendingRequest? {
      guard let client = turns.popFirst(), let request = waiting[client]?.popFirst() else { return nil }
      if waiting[client]?.isEmpty == false { turns.append(client) } else { waiting[client] = nil }
      return request
    }

    mutating func remove(where matches: (PendingRequest) -> Bool) -> [PendingRequest] {
      var removed: [PendingRequest] = []
      for (client, requests) in waiting where requests.contains(where: matches) {
        removed += requests.filter(matches)
        let rest = requests.filter { !matches($0) }
        waiting[client] = rest.isEmpty ? nil : Deque(rest)
      }
      if !removed.isEmpty { turns.removeAll { waiting[$0] == nil } }
      return removed
    }
  }

  private var levels = [Level](repeating: Level(), count: 10)
  private(set) var count = 0
  private(set) var byteCount = 0
  /// No waiting request expires before this Unix time; it may be too early, never too late.
  private(set) var earliestExpiry = UInt64.max

  var isEmpty: Bool { count == 0 }

  mutating func append(_ request: PendingRequest) {
    levels[level(request)].append(request)
    added(request)
  }

  mutating func prepend(_ request: PendingRequest) {
    levels[level(request)].prepend(request)
    added(request)
  }

  /// The request that is next: of the heads of all priorities the one with the highest sum of priority and age.
  mutating func take(at now: UInt64, aging: UInt64) -> PendingRequest? {
    var best: (level: Int, score: UInt64)?
    for index in levels.indices.reversed() {
      guard let head = levels[index].next else { continue }
      let age = now > head.arrived ? now - head.arrived : 0
      let score = UInt64(index) &* max(1, aging) &+ age
      if best.map({ score > $0.score }) ?? true { best = (index, score) }
    }
    guard let best, let request = levels[best.level].take() else { return nil }
    removed(request)
    return request
  }

  mutating func remove(where matches: (PendingRequest) -> Bool) -> [PendingRequest] {
    var result: [PendingRequest] = []
    for index in levels.indices { result += levels[index].remove(where: matches) }
    for request in result { removed(request) }
    return result
  }

  /// Those that must not start any more. Looks only when there can be some.
  mutating func removeExpired(_ now: BrokerTime) -> [PendingRequest] {
    guard now.unix > Int64(clamping: earliestExpiry) else { return [] }
    var earliest = UInt64.max
    let expired = remove { request in
      if request.isExpired(now) { return true }
      earliest = min(earliest, request.options.expiresAtMilliseconds ?? .max)
      return false
    }
    earliestExpiry = earliest
    return expired
  }

  /// The age of the oldest head, milliseconds.
  func oldest(at now: UInt64) -> UInt64 {
    levels.compactMap(\.next).map { now > $0.arrived ? now - $0.arrived : 0 }.max() ?? 0
  }

  private func level(_ request: PendingRequest) -> Int { min(9, Int(request.options.priority)) }

  private mutating func added(_ request: PendingRequest) {
    count += 1
    byteCount += request.byteCount
    earliestExpiry = min(earliestExpiry, request.options.expiresAtMilliseconds ?? .max)
  }

  private mutating func removed(_ request: PendingRequest) {
    count -= 1
    byteCount -= request.byteCount
  }
}
