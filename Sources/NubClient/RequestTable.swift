/// The requests under way, as a value: what to send when, and who is answered with what. Knows no socket and no
/// clock, so every rule of sending again can be tested by itself.
///
/// A request is one message with one job id, and one or more waiters: tasks of this process that asked for the same
/// job with the same content.
struct RequestTable: Sendable {
  typealias Instant = ContinuousClock.Instant
  typealias Outcome = Result<Reply, ClientError>

  /// Whom to resume, and with what.
  struct Resumption: Sendable {
    var token: UInt64
    var outcome: Outcome
  }

  private struct Waiter {
    var token: UInt64
    var deadline: Instant
    var timeout: Duration
  }

  private struct Request {
    var frames: [[UInt8]]
    var waiters: [Waiter]
    var attempts = 0
    /// When to send again; `nil` while it waits in `ready`.
    var nextSend: Instant?
    /// The worker's last word, when that was "later".
    var refusal: Reply?

    var wake: Instant? {
      let deadline = waiters.map(\.deadline).min()
      guard let nextSend, let deadline else { return nextSend ?? deadline }
      return min(nextSend, deadline)
    }
  }

  private let retry: RetryPolicy
  private var requests: [[UInt8]: Request] = [:]
  private var idOfToken: [UInt64: [UInt8]] = [:]
  private var ready: [[UInt8]] = []
  private var readyHead = 0
  private var timers = TimerHeap()

  init(retry: RetryPolicy) {
    self.retry = retry
  }

  var isEmpty: Bool { requests.isEmpty }

  // MARK: From the asking tasks

  /// Adds a request, or a waiter to one with the same id and content.
  /// - Returns: a resumption when the same id is under way with other content: sent as well, its reply could not be
  ///   told from the other's.
  mutating func submit(_ token: UInt64, _ frames: [[UInt8]], timeout: Duration, now: Instant) -> Resumption? {
    let id = frames[2]
    let waiter = Waiter(token: token, deadline: now + timeout, timeout: timeout)
    if var request = requests[id] {
      guard request.frames == frames else {
        let error = ClientError(
          .status(.conflict), "conflict (12): this client has a job with that id and other content under way",
          jobID: JobID(unchecked: id))
        return Resumption(token: token, outcome: .failure(error))
      }
      request.waiters.append(waiter)
      requests[id] = request
    } else {
      requests[id] = Request(frames: frames, waiters: [waiter])
      ready.append(id)
    }
    idOfToken[token] = id
    timers.insert(waiter.deadline, id)
    return nil
  }

  /// Forgets a waiter. The last one takes the request along.
  mutating func abandon(_ token: UInt64) -> Resumption? {
    guard let id = idOfToken.removeValue(forKey: token) else { return nil }
    requests[id]?.waiters.removeAll { $0.token == token }
    if requests[id]?.waiters.isEmpty == true { requests[id] = nil }
    let error = ClientError(
      .abandoned, "the task that asked was cancelled; the job itself may still run",
      jobID: JobID(unchecked: id))
    return Resumption(token: token, outcome: .failure(error))
  }

  // MARK: From the wire

  /// Takes a reply in. A second answer to something sent twice, or to nobody, changes nothing.
  mutating func receive(_ reply: Reply, now: Instant, scatter: Double) -> [Resumption] {
    guard var request = requests[reply.id] else { return [] }
    if reply.status == .unavailable {
      // Try later, as long as somebody still waits then.
      let asked = ReplyMeta(json: reply.metaJSON).retryAfterMilliseconds.map {
        Duration.milliseconds(min($0, 86_400_000))
      }
      let pause = min(asked ?? retry.first, retry.longest) * (1 + 0.2 * scatter)
      let again = now + pause
      if request.waiters.contains(where: { $0.deadline > again }) {
        request.refusal = reply
        request.nextSend = again
        requests[reply.id] = request
        timers.insert(again, reply.id)
        return []
      }
    }
    requests[reply.id] = nil
    return request.waiters.map { waiter in
      idOfToken[waiter.token] = nil
      return Resumption(token: waiter.token, outcome: .success(reply))
    }
  }

  // MARK: Time

  /// Does what is due: gives up on waiters, and readies requests to be sent again.
  mutating func advance(to now: Instant) -> [Resumption] {
    var resumptions: [Resumption] = []
    while let id = timers.popDue(now) {
      guard var request = requests[id] else { continue }
      for waiter in request.waiters where waiter.deadline <= now {
        idOfToken[waiter.token] = nil
        resumptions.append(Resumption(token: waiter.token, outcome: timedOut(request, waiter)))
      }
      request.waiters.removeAll { $0.deadline <= now }
      if request.waiters.isEmpty {
        requests[id] = nil
        continue
      }
      if let nextSend = request.nextSend, nextSend <= now {
        request.nextSend = nil
        ready.append(id)
      }
      requests[id] = request
      if let wake = request.wake { timers.insert(wake, id) }
    }
    return resumptions
  }

  private func timedOut(_ request: Request, _ waiter: Waiter) -> Outcome {
    if let refusal = request.refusal { return .success(refusal) }
    let error = ClientError(
      .timedOut,
      request.attempts == 0
        ? "no worker could be reached within \(waiter.timeout)"
        : "no answer within \(waiter.timeout), sent \(request.attempts) times",
      jobID: JobID(unchecked: request.frames[2]))
    return .failure(error)
  }

  /// When ``advance(to:)`` has something to do next.
  var nextWake: Instant? { timers.earliest }

  // MARK: Sending

  /// The message to send now; ``sent(now:scatter:)`` when it went.
  var nextToSend: [[UInt8]]? {
    mutating get {
      while readyHead < ready.count {
        if let request = requests[ready[readyHead]], request.nextSend == nil { return request.frames }
        dropReady()
      }
      return nil
    }
  }

  /// The message of ``nextToSend`` was taken by the socket.
  mutating func sent(now: Instant, scatter: Double) {
    let id = ready[readyHead]
    dropReady()
    guard var request = requests[id] else { return }
    request.attempts += 1
    request.refusal = nil
    let again = now + retry.pause(attempt: request.attempts, scatter: scatter)
    request.nextSend = again
    requests[id] = request
    timers.insert(again, id)
  }

  private mutating func dropReady() {
    readyHead += 1
    if readyHead > 1024, readyHead * 2 > ready.count {
      ready.removeFirst(readyHead)
      readyHead = 0
    }
  }
}
