internal import NubSecurity
internal import NubZMQ

/// MDP/Client: what clients send.
extension Broker {
  /// The index of a request's first body frame: behind routing id, empty frame, protocol and service.
  private static var bodyFrame: Int { 4 }

  mutating func fromClient(_ message: Multipart, _ principal: Principal?, _ now: BrokerTime) {
    let name = message[3]
    guard MDP.isServiceName(name), message.count > Self.bodyFrame else {
      counters.invalid += 1
      return
    }
    let client = message[0]
    let job = JobMessage(message, body: Self.bodyFrame)
    guard let principal, principal.roles.contains(.client) else {
      counters.unauthorized += 1
      if let job { answer(job, to: client, name, .unauthorized, "this key is not admitted as a client") }
      return
    }
    if name.starts(with: MDP.managementPrefix) { return manage(message, name, principal, client, now) }
    do throws(JobRefusal) {
      try accept(message, job, for: name, from: client, principal, now)
    } catch {
      if error.status == .unauthorized { counters.unauthorized += 1 }
      counters.refused += 1
      services[name]?.counters.refused += 1
      if let job { answer(job, to: client, name, error.status, error.message) }
    }
  }

  private mutating func accept(
    _ message: Multipart, _ job: JobMessage?, for name: [UInt8], from client: [UInt8], _ principal: Principal,
    _ now: BrokerTime
  ) throws(JobRefusal) {
    if message.isTruncated {
      throw JobRefusal(status: .tooLarge, message: "the message has too many frames or bytes")
    }
    // A key that is bound to a tenant sends what names a tenant, and nothing else: the worker would trust it.
    guard principal.tenant == nil || job != nil else {
      throw JobRefusal(status: .unauthorized, message: "not a job of the job protocol")
    }
    let options = try job?.enforce(tenant: principal.tenant, in: message) ?? BrokerOptions()
    guard !isDraining else {
      throw JobRefusal(status: .unavailable, message: "the broker is shutting down")
    }
    guard
      waiting < configuration.requests, waitingBytes + message.byteCount <= configuration.waitingBytes,
      waitingByClient[client, default: 0] < configuration.requestsPerClient
    else {
      throw JobRefusal(status: .unavailable, message: "the broker has too many waiting requests")
    }
    let service = try service(named: name)
    guard service.queue.count < configuration.requestsPerService else {
      throw JobRefusal(status: .unavailable, message: "the service has too many waiting requests")
    }
    let request = PendingRequest(
      client: client, job: job, options: options, arrived: now.monotonic, message: message,
      body: Self.bodyFrame)
    service.counters.requests += 1
    guard !request.isExpired(now) else { return expire(request, service) }
    service.queue.append(request)
    joined(request)
    dispatch(service, at: now)
  }

  private mutating func service(named name: [UInt8]) throws(JobRefusal) -> Service {
    if let known = services[name] { return known }
    guard services.count < configuration.services else {
      throw JobRefusal(status: .unavailable, message: "the broker knows too many services")
    }
    let service = Service(name)
    services[name] = service
    return service
  }

  // MARK: Management (RFC 8)

  private mutating func manage(
    _ message: Multipart, _ name: [UInt8], _ principal: Principal, _ client: [UInt8], _ now: BrokerTime
  ) {
    counters.management += 1
    let body: [UInt8]
    switch String(decoding: name, as: UTF8.self) {
    case "mmi.service":
      body = Array(services[message[Self.bodyFrame]].map { $0.workers > 0 } == true ? "200".utf8 : "404".utf8)
    case "mmi.statistics":
      // Other tenants' traffic is none of a tenant's business.
      body = principal.tenant == nil ? Array(statistics(at: now).utf8) : Array("403".utf8)
    default: body = Array("501".utf8)
    }
    send([[], MDP.client, name, body], to: client)
  }
}
