public import NubZMQ

/// The worker's side of MDP/0.1 (RFC 7) for one service and one broker, without sockets and clocks: it is told what arrived and
/// what time it is, and says what to do. One request at a time, as the RFC has it.
///
/// It never trusts the broker with more than that: what is not a valid command is dropped and counted, and what RFC 7 does not
/// allow now ends the conversation, which then starts again on a new socket.
public struct MajordomoWorker: ~Copyable {
  /// What to do, in order.
  public enum Action: Equatable {
    /// Make a new socket and connect it to the broker.
    case open
    /// Send these frames on it.
    case send([[UInt8]])
    /// Close the socket, letting what was sent leave.
    case close
    /// Run the request: the message's frames from `body` on. It is answered with ``MajordomoWorker/reply(to:at:)``.
    case deliver(Request, body: Int)
  }

  /// A request that was delivered.
  public struct Request: Sendable, Hashable {
    /// Which of the machine's conversations; a reply to an earlier one goes nowhere.
    let conversation: UInt64
    /// Which request of it.
    let number: UInt64
  }

  /// Times in milliseconds. The broker's must be similar (RFC 7, Known Weaknesses).
  public struct Timing: Sendable {
    public var heartbeat: UInt64 = 2_500
    /// Heartbeats that may be missing before the broker counts as gone.
    public var liveness: UInt64 = 3
    /// Before the first attempt to start again; doubles with each that brings no answer.
    public var reconnect: UInt64 = 250
    public var reconnectMaximum: UInt64 = 30_000
    public init() {}
  }

  public struct Counters: Sendable, Equatable {
    public var requests: UInt64 = 0
    public var replies: UInt64 = 0
    /// Conversations that ended against our will.
    public var reconnects: UInt64 = 0
    /// Messages that are no valid commands.
    public var dropped: UInt64 = 0
    /// Replies whose conversation had ended: their askers ask again.
    public var lateReplies: UInt64 = 0

    public init() {}
  }

  private enum State {
    /// Without a socket until then.
    case closed(until: UInt64)
    case open
    /// Told to stop, waiting for the request in hand.
    case stopping
    case stopped
  }

  private let service: [UInt8]
  private let timing: Timing
  private var state: State
  private var conversation: UInt64 = 0
  private var number: UInt64 = 0
  /// The asker of the request in hand: what the reply begins with.
  private var client: [UInt8]?
  private var brokerDies: UInt64 = 0
  private var nextHeartbeat: UInt64 = 0
  private var backoff: UInt64
  /// Spreads the reconnects of many machines, which would otherwise come as one.
  private var jitter: UInt64
  public private(set) var counters = Counters()

  /// - Parameters:
  ///   - service: printable ASCII, 1 to 255 bytes.
  ///   - seed: any number, another one for each machine of a process.
  public init(service: String, timing: Timing = Timing(), seed: UInt64 = 1) {
    self.service = Array(service.utf8)
    self.timing = timing
    backoff = timing.reconnect
    jitter = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    state = .closed(until: 0)
  }

  /// Whether a service may have this name.
  public static func isServiceName(_ name: String) -> Bool { MDP.isServiceName(Array(name.utf8)) }

  public var isBusy: Bool { client != nil }
  public var isStopped: Bool { if case .stopped = state { true } else { false } }

  /// When ``tick(at:)`` has something to do next; `nil` for never.
  public var deadline: UInt64? {
    switch state {
    case .closed(let until): until
    case .open, .stopping: min(brokerDies, nextHeartbeat)
    case .stopped: nil
    }
  }

  /// Starts conversations, sends heartbeats, notices that the broker has gone. Call it at ``deadline``; early is harmless.
  public mutating func tick(at now: UInt64) -> [Action] {
    switch state {
    case .closed(let until):
      guard now >= until else { return [] }
      state = .open
      conversation += 1
      hear(now)
      sent(now)
      return [.open, .send(MDP.head(.ready) + [service])]
    case .open, .stopping:
      if now >= brokerDies { return restart(at: now) }
      guard now >= nextHeartbeat else { return [] }
      sent(now)
      return [.send(MDP.head(.heartbeat))]
    case .stopped: return []
    }
  }

  /// Takes a message of the current socket's.
  public mutating func receive(_ message: Multipart, at now: UInt64) -> [Action] {
    switch state {
    case .closed, .stopped:
      // Of a socket that was closed; nothing to do with it any more.
      counters.dropped += 1
      return []
    case .open, .stopping: break
    }
    // Frame 0 is empty, 1 names the protocol, 2 is the command's number in one byte.
    guard message.count >= 3, message.size(0) == 0, message.frame(1, equals: MDP.worker),
      message.size(2) == 1,
      let command = MDP.Command(rawValue: message.withBytes(2) { $0.first ?? 0 })
    else {
      counters.dropped += 1
      return []
    }
    switch command {
    case .heartbeat:
      hear(now)
      backoff = timing.reconnect
      return []
    case .request: return request(message, at: now)
    case .disconnect:
      // RFC 7: close the socket and connect again on a new one. At once if the broker had been there; it has just
      // said that it does not know us, which is what a restarted broker says.
      return restart(at: now)
    case .ready, .reply:
      // Not a broker's to send.
      return restart(at: now)
    }
  }

  /// The frames that a reply to `request` begins with; its body follows. `nil` when its conversation is over: the
  /// result is in the store, for the asker that asks again.
  public mutating func reply(to request: Request, at now: UInt64) -> [[UInt8]]? {
    guard let client, request.conversation == conversation, request.number == number else {
      counters.lateReplies += 1
      return nil
    }
    self.client = nil
    counters.replies += 1
    sent(now)
    return MDP.head(.reply) + [client, []]
  }

  /// The socket that ``Action/open`` asked for could not be had: the next attempt comes after a pause.
  public mutating func openFailed(at now: UInt64) { _ = restart(at: now) }

  /// After a reply was sent: whether there is anything else to do because of it.
  public mutating func afterReply(at now: UInt64) -> [Action] {
    guard case .stopping = state, client == nil else { return [] }
    return stop(at: now)
  }

  /// Says goodbye: at once when idle, after the reply when not.
  public mutating func stop(at now: UInt64) -> [Action] {
    switch state {
    case .closed, .stopped:
      state = .stopped
      return []
    case .open, .stopping:
      guard client == nil else {
        state = .stopping
        return []
      }
      state = .stopped
      return [.send(MDP.head(.disconnect)), .close]
    }
  }

  /// Takes requests again after a ``stop(at:)``: on the conversation that it has, or on a new one.
  public mutating func resume(at now: UInt64) {
    switch state {
    case .stopping: state = .open
    case .stopped: state = .closed(until: now)
    case .open, .closed: break
    }
  }

  /// Stops without waiting for the request in hand. Its asker is told by the broker, or asks again.
  public mutating func abandon(at now: UInt64) -> [Action] {
    client = nil
    return stop(at: now)
  }

  private mutating func request(_ message: Multipart, at now: UInt64) -> [Action] {
    // One client address and the empty frame behind it, then a body of at least one frame.
    guard message.count >= 6, message.size(3) > 0, message.size(4) == 0 else {
      counters.dropped += 1
      return []
    }
    hear(now)
    backoff = timing.reconnect
    // A second request before the reply to the first, or one after our goodbye's decision: RFC 7 knows neither. Here
    // the conversation would be ambiguous, and starting again is what the RFC offers.
    guard client == nil else { return restart(at: now) }
    if case .stopping = state { return restart(at: now) }
    client = message[3]
    number += 1
    counters.requests += 1
    return [.deliver(Request(conversation: conversation, number: number), body: 5)]
  }

  private mutating func restart(at now: UInt64) -> [Action] {
    client = nil
    if case .stopping = state {
      state = .stopped
      return [.close]
    }
    counters.reconnects += 1
    // Half of the pause is fixed, half is chance (xorshift, Marsaglia 2003).
    jitter ^= jitter << 13
    jitter ^= jitter >> 7
    jitter ^= jitter << 17
    state = .closed(until: now &+ backoff / 2 &+ jitter % (backoff / 2 + 1))
    backoff = min(backoff &* 2, timing.reconnectMaximum)
    return [.close]
  }

  private mutating func hear(_ now: UInt64) { brokerDies = now &+ timing.heartbeat &* timing.liveness }
  /// Any command is a heartbeat, so the next one is due an interval later (RFC 7, Heartbeating).
  private mutating func sent(_ now: UInt64) { nextHeartbeat = now &+ timing.heartbeat }
}
