internal import DequeModule
public import NubSecurity
public import NubZMQ

/// A Majordomo broker (RFC 7, MDP/0.1) with management services (RFC 8), without sockets and clocks: it is told what arrived from
/// whom and what time it is, and queues what is to be sent.
///
/// It holds nothing that has to survive it. A request that is lost with it, or with a worker, is sent again by its client; the
/// workers' stores see to it that this has one effect.
public struct Broker: ~Copyable {
  /// A message to a peer: `head`, then the frames of `body` from `bodyStart` on.
  public struct Outbound {
    /// The peer's routing id.
    public let peer: [UInt8]
    public let head: [[UInt8]]
    public let body: Multipart?
    public let bodyStart: Int
    /// Whether the peer is a worker, for ``Broker/undeliverable(_:at:)``.
    let isForWorker: Bool
  }

  let configuration: BrokerConfiguration
  var services: [[UInt8]: Service] = [:]
  var workers: [[UInt8]: WorkerRecord] = [:]
  /// Requests that wait, by connection.
  var waitingByClient: [[UInt8]: Int] = [:]
  var waiting = 0
  var waitingBytes = 0
  public internal(set) var counters = BrokerCounters()
  private var outbox: Deque<Outbound> = []
  private(set) var isDraining = false
  private var nextMaintenance: UInt64 = 0

  public init(_ configuration: BrokerConfiguration = BrokerConfiguration()) {
    self.configuration = configuration
  }

  /// When ``tick(at:)`` has something to do.
  public var deadline: UInt64 { nextMaintenance }

  /// What is to be sent next. Send it, or say that it was ``undeliverable(_:at:)``, before asking again.
  public mutating func nextOutbound() -> Outbound? { outbox.popFirst() }

  /// Takes a message as a ROUTER hands it out, the sender's routing id in front.
  ///
  /// - Parameter principal: who sent it; `nil` for a peer whose key is not, or no longer, admitted.
  public mutating func receive(_ message: Multipart, from principal: Principal?, at now: BrokerTime) {
    counters.received += 1
    // 0 is the routing id, 1 empty, 2 the protocol.
    guard message.count >= 4, message.size(0) > 0, message.size(1) == 0 else {
      counters.invalid += 1
      return
    }
    if message.frame(2, equals: MDP.client) {
      fromClient(message, principal, now)
    } else if message.frame(2, equals: MDP.worker) {
      fromWorker(message, principal, now)
    } else {
      counters.invalid += 1
    }
  }

  /// Heartbeats, dead workers, expired requests. Call it at ``deadline``; early is harmless.
  public mutating func tick(at now: BrokerTime) {
    guard now.monotonic >= nextMaintenance else { return }
    nextMaintenance = now.monotonic &+ max(1, configuration.heartbeat / 5)
    for worker in Array(workers.values) {
      if now.monotonic >= worker.dies {
        counters.workersLost += 1
        // RFC 7: nothing more is sent to a worker that has gone.
        remove(worker, at: now)
      } else if now.monotonic >= worker.nextHeartbeat {
        command(.heartbeat, to: worker, at: now)
      }
    }
    for service in Array(services.values) {
      for request in service.queue.removeExpired(now) {
        left(request)
        expire(request, service)
      }
      if service.workers == 0, !service.queue.isEmpty { abandonUnserved(service, now) }
      if service.workers == 0, service.queue.isEmpty { services[service.name] = nil }
    }
  }

  /// A message could not be sent: its peer is gone, or does not read.
  public mutating func undeliverable(_ outbound: Outbound, at now: BrokerTime) {
    counters.undeliverable += 1
    guard outbound.isForWorker, let worker = workers[outbound.peer] else { return }
    if let request = worker.request, let message = outbound.body {
      // It never left, so giving it to another worker is no second delivery.
      request.message = message
      request.deliveries -= 1
      worker.request = nil
      worker.service.queue.prepend(request)
      joined(request)
    }
    counters.workersLost += 1
    remove(worker, at: now)
  }

  /// Takes no new requests and gives back those that wait. What workers have in hand is still answered.
  public mutating func drain() {
    isDraining = true
    for service in services.values {
      for request in service.queue.remove(where: { _ in true }) {
        left(request)
        refuse(request, service, .unavailable, "the broker is shutting down")
      }
    }
  }

  /// Whether no worker has a request in hand.
  public var isIdle: Bool { workers.values.allSatisfy { $0.request == nil } }

  /// Tells the workers that the broker leaves, so that they look for it again at once.
  public mutating func disconnectWorkers() {
    for worker in workers.values { send(MDP.head(.disconnect), to: worker.id, isForWorker: true) }
    workers.removeAll()
  }

  /// Forgets everybody and what they asked for: the socket that they were connected to is gone. Clients ask again, workers register
  /// again.
  mutating func forgetPeers() {
    workers.removeAll()
    waitingByClient.removeAll()
    waiting = 0
    waitingBytes = 0
    outbox.removeAll()
    for service in services.values {
      service.queue = RequestQueue()
      service.idle = []
      service.workers = 0
    }
  }

  // MARK: Shared by the two dialogs

  mutating func send(
    _ head: [[UInt8]], to peer: [UInt8], _ body: Multipart? = nil, from start: Int = 0,
    isForWorker: Bool = false
  ) {
    outbox.append(Outbound(peer: peer, head: head, body: body, bodyStart: start, isForWorker: isForWorker))
  }

  mutating func command(_ command: MDP.Command, to worker: WorkerRecord, at now: BrokerTime) {
    worker.nextHeartbeat = now.monotonic &+ configuration.heartbeat
    send(MDP.head(command), to: worker.id, isForWorker: true)
  }

  /// Answers in a worker's place; silent for requests that are not nub's, whose replies only their services understand.
  mutating func refuse(
    _ request: PendingRequest, _ service: Service, _ status: JobMessage.Status, _ text: String
  ) {
    service.counters.refused += 1
    counters.refused += 1
    guard let job = request.job else { return }
    answer(job, to: request.client, service.name, status, text)
  }

  mutating func answer(
    _ job: JobMessage, to client: [UInt8], _ service: [UInt8], _ status: JobMessage.Status, _ text: String
  ) {
    let body = job.reply(
      status, text, broker: configuration.name,
      retryAfter: status == .unavailable ? configuration.retryAfter : nil)
    send([[], MDP.client, service] + body, to: client)
  }

  /// A request has joined a queue, or left it: the bounds over all queues.
  mutating func joined(_ request: PendingRequest) {
    waiting += 1
    waitingBytes += request.byteCount
    waitingByClient[request.client, default: 0] += 1
  }

  mutating func left(_ request: PendingRequest) {
    waiting -= 1
    waitingBytes -= request.byteCount
    let rest = (waitingByClient[request.client] ?? 1) - 1
    waitingByClient[request.client] = rest > 0 ? rest : nil
  }

  mutating func expire(_ request: PendingRequest, _ service: Service) {
    service.counters.expired += 1
    guard let job = request.job else { return }
    answer(job, to: request.client, service.name, .deadlineExceeded, "expired before it started")
  }

  /// Gives waiting requests to waiting workers, the one that has waited longest first.
  mutating func dispatch(_ service: Service, at now: BrokerTime) {
    while let worker = service.idle.first,
      let request = service.queue.take(at: now.monotonic, aging: configuration.aging)
    {
      left(request)
      if request.isExpired(now) {
        expire(request, service)
        continue
      }
      service.idle.removeFirst()
      request.deliveries += 1
      worker.request = request
      worker.nextHeartbeat = now.monotonic &+ configuration.heartbeat
      let message = request.message
      // Kept (shared, not copied) only where it may be needed again.
      request.message = mayRedeliver(request) ? message?.shared() : nil
      send(
        MDP.head(.request) + [request.client, []], to: worker.id, message, from: request.body,
        isForWorker: true)
    }
  }

  /// Forgets a worker and finds its request another, or tells its asker.
  mutating func remove(_ worker: WorkerRecord, at now: BrokerTime) {
    workers[worker.id] = nil
    let service = worker.service
    service.workers -= 1
    service.idle.removeAll { $0 === worker }
    guard let request = worker.request else { return dispatch(service, at: now) }
    worker.request = nil
    if !isDraining, request.message != nil, mayRedeliver(request) {
      counters.redelivered += 1
      service.counters.redelivered += 1
      service.queue.prepend(request)
      joined(request)
    } else {
      refuse(request, service, .unavailable, "the worker that had this job is gone; send it again")
    }
    dispatch(service, at: now)
  }

  private func mayRedeliver(_ request: PendingRequest) -> Bool {
    guard request.deliveries < configuration.deliveries else { return false }
    return switch configuration.redelivery {
    case .always: true
    case .safe: request.job?.isIdempotent ?? true
    case .never: false
    }
  }

  /// RFC 7: requests for a service that nobody offers are queued, and expire after a reasonable time.
  private mutating func abandonUnserved(_ service: Service, _ now: BrokerTime) {
    let limit = configuration.serviceTimeout
    for request in service.queue.remove(where: { now.monotonic >= $0.arrived &+ limit }) {
      left(request)
      refuse(request, service, .unavailable, "no worker offers this service")
    }
  }
}

/// A service: its waiting requests and its workers.
final class Service {
  let name: [UInt8]
  var queue = RequestQueue()
  /// Workers without a request, the one that has waited longest first.
  var idle: Deque<WorkerRecord> = []
  /// Registered workers, the busy ones included.
  var workers = 0
  var counters = ServiceCounters()

  init(_ name: [UInt8]) { self.name = name }
}

/// A registered worker.
final class WorkerRecord {
  /// Its routing id.
  let id: [UInt8]
  let service: Service
  var request: PendingRequest?
  /// When it counts as gone, unless it is heard before.
  var dies: UInt64 = 0
  var nextHeartbeat: UInt64 = 0

  init(id: [UInt8], service: Service) {
    self.id = id
    self.service = service
  }
}
