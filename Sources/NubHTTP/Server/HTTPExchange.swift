/// One connection's conversation, as a value without socket and clock: what has come, what is to go, and until when.
///
/// One request at a time: what a peer sends ahead waits in a buffer of bounded size, and when that is full, in its own socket.
struct HTTPExchange {
  enum Phase: Equatable {
    /// Waits for a request head, or the rest of one.
    case reading
    /// A request is being answered elsewhere.
    case answering
    /// An answer goes out.
    case writing
    /// All has been sent and our side is shut; what the peer still sends is thrown away, lest its unread bytes turn into a reset that
    /// takes the answer with it (RFC 9112, section 9.6).
    case lingering
    case closed
  }

  /// What the owner is to do now.
  enum Step: Equatable {
    case wait
    case answer(HTTPRequest)
    case refuse(HTTPStatus, String)
  }

  /// Milliseconds.
  struct Timing: Sendable {
    /// From a connection's beginning, or its last answer, to the end of a head. A total: sending a byte now and then wins nothing.
    var head: UInt64 = 5_000
    /// For a peer to take an answer.
    var write: UInt64 = 10_000
    var linger: UInt64 = 1_000
    /// For the answer to be made.
    var answer: UInt64 = 30_000
    /// Between an answer and the next request's first byte.
    var idle: UInt64 = 20_000
    /// Requests on one connection.
    var requests = 1_000
  }

  private(set) var phase = Phase.reading
  /// Milliseconds on the owner's clock.
  private(set) var deadline: UInt64
  private var input: [UInt8] = []
  private(set) var output: ArraySlice<UInt8> = []
  private var keepsAlive = true
  private var isHead = false
  private var served = 0
  private var drained = 0
  private let timing: Timing

  init(_ timing: Timing, at now: UInt64) {
    self.timing = timing
    deadline = now + timing.head
  }

  /// Whether the peer's bytes are wanted.
  var wantsInput: Bool {
    switch phase {
    case .reading: input.count < 2 * HTTPParser.maximumHead
    case .lingering: true
    case .answering, .writing, .closed: false
    }
  }

  /// Whether it is between two requests: the first to go when others want its place.
  var isIdle: Bool { phase == .reading && input.isEmpty && served > 0 }

  mutating func received(_ bytes: some Collection<UInt8>, at now: UInt64) -> Step {
    if phase == .lingering {
      drained += bytes.count
      if drained > 256 << 10 { phase = .closed }
      return .wait
    }
    guard phase == .reading else { return .wait }
    if isIdle { deadline = now + timing.head }
    input.append(contentsOf: bytes)
    return next(at: now)
  }

  /// The peer sends no more.
  mutating func ended() {
    if phase == .reading || phase == .lingering { phase = .closed }
  }

  /// Looks for the next request in what has come.
  private mutating func next(at now: UInt64) -> Step {
    guard phase == .reading, !input.isEmpty else { return .wait }
    switch HTTPParser.parse(input[...]) {
    case .incomplete: return .wait
    case .refused(let status, let message):
      phase = .answering
      keepsAlive = false
      deadline = now + timing.answer
      return .refuse(status, message)
    case .request(let request, let consumed):
      input.removeFirst(consumed)
      served += 1
      keepsAlive = request.keepsAlive && served < timing.requests
      isHead = request.isHead
      phase = .answering
      deadline = now + timing.answer
      return .answer(request)
    }
  }

  /// The answer is ready.
  mutating func answer(_ response: HTTPResponse, at now: UInt64, time: Int) {
    guard phase == .answering else { return }
    output = response.encoded(isHead: isHead, keepsAlive: keepsAlive, time: time)[...]
    phase = .writing
    deadline = now + timing.write
  }

  /// Bytes of ``output`` have left.
  mutating func sent(_ count: Int, at now: UInt64) -> Step {
    output = output.dropFirst(count)
    guard output.isEmpty, phase == .writing else { return .wait }
    guard keepsAlive else {
      phase = .lingering
      deadline = now + timing.linger
      return .wait
    }
    phase = .reading
    isHead = false
    deadline = now + (input.isEmpty ? timing.idle : timing.head)
    return next(at: now)
  }

  /// Time is up: a peer that was slow with its head is told so, everybody else is cut off.
  mutating func expire(at now: UInt64) -> Step {
    guard now >= deadline, phase != .closed else { return .wait }
    guard phase == .reading, !input.isEmpty else {
      phase = .closed
      return .wait
    }
    phase = .answering
    keepsAlive = false
    deadline = now + timing.answer
    return .refuse(.requestTimeout, "the request did not come in time")
  }

  mutating func close() { phase = .closed }
}
