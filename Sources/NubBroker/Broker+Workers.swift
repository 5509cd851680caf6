internal import NubSecurity
internal import NubZMQ

/// MDP/Worker: what workers send.
extension Broker {
  mutating func fromWorker(_ message: Multipart, _ principal: Principal?, _ now: BrokerTime) {
    let id = message[0]
    let worker = workers[id]
    guard let principal, principal.roles.contains(.worker) else {
      // Whoever reads every tenant's jobs has to be admitted as that, at each message.
      counters.unauthorized += 1
      if let worker { remove(worker, at: now) }
      send(MDP.head(.disconnect), to: id)
      return
    }
    guard message.size(3) == 1, let command = MDP.Command(rawValue: message.withBytes(3) { $0.first ?? 0 })
    else {
      return invalid(worker, now)
    }
    switch command {
    case .ready: ready(message, id, worker, now)
    case .reply: reply(message, id, worker, now)
    case .heartbeat:
      guard let worker else { return disconnect(id, nil, now) }
      hear(worker, now)
    case .disconnect:
      counters.disconnects += 1
      // Nothing more is sent to it (RFC 7), so it is only forgotten.
      if let worker { remove(worker, at: now) }
    case .request:
      // Not a worker's to send.
      disconnect(id, worker, now)
    }
  }

  private mutating func ready(_ message: Multipart, _ id: [UInt8], _ worker: WorkerRecord?, _ now: BrokerTime)
  {
    let name = message[4]
    guard message.count == 5, MDP.isServiceName(name) else { return invalid(worker, now) }
    // A second READY (RFC 7), and a service that is the broker's own (RFC 8).
    guard worker == nil, !name.starts(with: MDP.managementPrefix) else { return disconnect(id, worker, now) }
    guard !isDraining, workers.count < configuration.workers,
      services[name] != nil || services.count < configuration.services
    else { return disconnect(id, nil, now) }
    let service = services[name] ?? Service(name)
    services[name] = service
    let record = WorkerRecord(id: id, service: service)
    record.nextHeartbeat = now.monotonic &+ configuration.heartbeat
    hear(record, now)
    workers[id] = record
    service.workers += 1
    counters.registrations += 1
    service.idle.append(record)
    dispatch(service, at: now)
  }

  private mutating func reply(_ message: Multipart, _ id: [UInt8], _ worker: WorkerRecord?, _ now: BrokerTime)
  {
    guard let worker, let request = worker.request else { return disconnect(id, worker, now) }
    // One client address, the empty frame behind it and a body; and no other client than the one that asked.
    guard !message.isTruncated, message.count >= 7, message.frame(4, equals: request.client),
      message.size(5) == 0
    else {
      counters.invalid += 1
      return disconnect(id, worker, now)
    }
    hear(worker, now)
    worker.request = nil
    let service = worker.service
    service.counters.replies += 1
    counters.replies += 1
    send([[], MDP.client, service.name], to: request.client, message, from: 6)
    service.idle.append(worker)
    dispatch(service, at: now)
  }

  private func hear(_ worker: WorkerRecord, _ now: BrokerTime) {
    worker.dies = now.monotonic &+ configuration.heartbeat &* configuration.liveness
  }

  /// A valid command that is not expected now: DISCONNECT, and nothing more until it registers again (RFC 7).
  private mutating func disconnect(_ id: [UInt8], _ worker: WorkerRecord?, _ now: BrokerTime) {
    counters.unexpected += 1
    send(MDP.head(.disconnect), to: id)
    if let worker { remove(worker, at: now) }
  }

  /// Not a valid command: dropped, and its sender is no worker any more (RFC 7).
  private mutating func invalid(_ worker: WorkerRecord?, _ now: BrokerTime) {
    counters.invalid += 1
    if let worker { remove(worker, at: now) }
  }
}
