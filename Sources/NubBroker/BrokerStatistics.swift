internal import NubJSON

/// What a broker has done since it started.
public struct BrokerCounters: Sendable, Equatable {
  public var received: UInt64 = 0
  public var replies: UInt64 = 0
  /// Requests that the broker answered itself, or dropped, for want of room, rights or a worker.
  public var refused: UInt64 = 0
  public var unauthorized: UInt64 = 0
  /// Messages that are no valid commands.
  public var invalid: UInt64 = 0
  /// Valid commands at the wrong time.
  public var unexpected: UInt64 = 0
  /// Messages whose peer was gone or did not read.
  public var undeliverable: UInt64 = 0
  /// Requests given to another worker because theirs was gone.
  public var redelivered: UInt64 = 0
  public var registrations: UInt64 = 0
  /// Workers that said goodbye.
  public var disconnects: UInt64 = 0
  /// Workers that fell silent.
  public var workersLost: UInt64 = 0
  /// Requests to `mmi.` services.
  public var management: UInt64 = 0
}

/// The same for one service.
struct ServiceCounters {
  var requests: UInt64 = 0
  var replies: UInt64 = 0
  var refused: UInt64 = 0
  var expired: UInt64 = 0
  var redelivered: UInt64 = 0
}

extension Broker {
  /// The state of things as a JSON object: what `mmi.statistics` answers.
  public func statistics(at now: BrokerTime) -> String {
    var text = "{\"broker\":\(JSONString.quoted(configuration.name))"
    text += ",\"draining\":\(isDraining),\"waiting\":\(waiting),\"waiting_bytes\":\(waitingBytes)"
    text += ",\"workers\":\(workers.count),\"received\":\(counters.received),\"replies\":\(counters.replies)"
    text += ",\"refused\":\(counters.refused),\"unauthorized\":\(counters.unauthorized)"
    text += ",\"invalid\":\(counters.invalid),\"unexpected\":\(counters.unexpected)"
    text += ",\"undeliverable\":\(counters.undeliverable),\"redelivered\":\(counters.redelivered)"
    text += ",\"registrations\":\(counters.registrations),\"disconnects\":\(counters.disconnects)"
    text += ",\"workers_lost\":\(counters.workersLost),\"management\":\(counters.management),\"services\":{"
    let list = services.values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    text += list.map { service in
      let name = JSONString.quoted(String(decoding: service.name, as: UTF8.self))
      let counters = service.counters
      return "\(name):{\"workers\":\(service.workers),\"idle\":\(service.idle.count)"
        + ",\"waiting\":\(service.queue.count),\"oldest_ms\":\(service.queue.oldest(at: now.monotonic))"
        + ",\"requests\":\(counters.requests),\"replies\":\(counters.replies),\"refused\":\(counters.refused)"
        + ",\"expired\":\(counters.expired),\"redelivered\":\(counters.redelivered)}"
    }.joined(separator: ",")
    return text + "}}"
  }
}
