import Glibc

/// The processes that drive a worker: hidden subcommands of `nub bench`, in processes of their own so that their cost is not the
/// worker's.
public enum Load {
  /// How long a process waits for a reply before it calls the figure a failure.
  private static let patienceMilliseconds: Int32 = 120_000

  /// What jobs look like.
  public struct Shape: Sendable {
    public var payloadBytes: Int
    public var hasRandomIDs: Bool
    public var tenants: Int

    public init(payloadBytes: Int, hasRandomIDs: Bool, tenants: Int) {
      self.payloadBytes = payloadBytes
      self.hasRandomIDs = hasRandomIDs
      self.tenants = tenants
    }

    var order: JobIDs.Order { hasRandomIDs ? .random : .ordered }
  }

  /// Pushes `count` echo jobs into a pipeline's jobs endpoint, as fast as they are taken, and stays until `watched` has ended.
  ///
  /// libzmq drops what the kernel still holds of a connection that is closed while its reader is at its high-water mark, so a
  /// producer whose jobs count does not leave before the replies are in.
  public static func produce(to endpoint: String, count: Int, shape: Shape, until watched: Int32) throws {
    var writer = JobWriter(payload: shape.payloadBytes, order: shape.order, tenants: shape.tenants)
    var socket = try LoadSocket(.push, endpoint, bind: true)
    for _ in 0..<count { try writer.send(to: &socket) }
    while watched > 0, kill(watched, 0) == 0 { usleep(20_000) }
    try printNumbers(["cpu": cpuSeconds()])
  }

  /// Takes `count` replies from a pipeline's replies endpoint and reports two stretches: the first `window` jobs after `skip`, and the
  /// last `window`; and the whole after `skip`. `watched` is the process whose use of CPU and memory is reported, 0 for none.
  public static func collect(
    from endpoint: String, count: Int, skip: Int, window: Int, payloadBytes: Int, watched: Int32
  ) throws {
    var reader = ReplyReader(bodyBytes: payloadBytes)
    var socket = try LoadSocket(.pull, endpoint, bind: true)
    socket.setReceiveTimeout(milliseconds: patienceMilliseconds)
    func take(until total: Int) throws(BenchError) {
      while reader.received < total {
        guard try reader.receive(from: &socket) else {
          throw BenchError(.wrongResult, "only \(reader.received) of \(count) replies came")
        }
      }
    }
    try take(until: skip)
    let start = UsageMark(of: watched)
    try take(until: skip + window)
    let afterFirst = UsageMark(of: watched)
    try take(until: max(skip + window, count - window))
    let beforeLast = UsageMark(of: watched)
    try take(until: count)
    let end = UsageMark(of: watched)
    try printNumbers([
      "jobs": Double(count - skip), "seconds": end.seconds - start.seconds, "worker_cpu": end.cpu - start.cpu,
      "first_seconds": afterFirst.seconds - start.seconds, "first_cpu": afterFirst.cpu - start.cpu,
      "last_seconds": end.seconds - beforeLast.seconds, "last_cpu": end.cpu - beforeLast.cpu,
      "memory_start": start.memory.now, "memory_end": end.memory.now, "memory_peak": end.memory.peak,
      "cpu": cpuSeconds(),
    ])
  }

  /// Asks a direct door `count` times with at most `window` questions open, and reports the rate after `skip` and the percentiles of
  /// the time to each answer (microseconds; with a window of 1, the latency).
  public static func ask(
    _ endpoint: String, count: Int, skip: Int, window: Int, shape: Shape, watched: Int32
  ) throws {
    var writer = JobWriter(payload: shape.payloadBytes, order: shape.order, tenants: shape.tenants)
    var reader = ReplyReader(bodyBytes: shape.payloadBytes)
    var socket = try LoadSocket(.dealer, endpoint, bind: false)
    socket.setReceiveTimeout(milliseconds: patienceMilliseconds)
    var times: [Double] = []
    times.reserveCapacity(count)
    var sent = 0
    var start: UsageMark?
    while reader.received < count {
      if start == nil, reader.received >= skip { start = UsageMark(of: watched) }
      let began = window == 1 ? monotonicSeconds() : 0
      while sent < count, sent - reader.received < window {
        try writer.send(to: &socket)
        sent += 1
      }
      guard try reader.receive(from: &socket) else {
        throw BenchError(.wrongResult, "only \(reader.received) of \(count) replies came")
      }
      if window == 1 {
        if reader.received > skip { times.append((monotonicSeconds() - began) * 1e6) }
      } else {
        // Half a window is gathered before more is sent: both sides then work in batches.
        while sent - reader.received > window / 2, try reader.receive(from: &socket) {}
      }
    }
    let end = UsageMark(of: watched)
    let begin = start ?? end
    times.sort()
    try printNumbers([
      "jobs": Double(count - skip), "seconds": end.seconds - begin.seconds, "worker_cpu": end.cpu - begin.cpu,
      "memory_peak": end.memory.peak, "cpu": cpuSeconds(), "p50": percentile(times, 0.5),
      "p99": percentile(times, 0.99), "p999": percentile(times, 0.999),
    ])
  }

  /// Asks a direct door at a steady rate (jobs per second) until it is told to end (SIGTERM).
  public static func press(_ endpoint: String, rate: Double, shape: Shape) throws {
    signal(SIGTERM) { _ in _exit(0) }
    var writer = JobWriter(payload: shape.payloadBytes, order: shape.order, tenants: shape.tenants)
    var reader = ReplyReader(bodyBytes: shape.payloadBytes)
    var socket = try LoadSocket(.dealer, endpoint, bind: false)
    let started = monotonicSeconds()
    var sent = 0
    while true {
      let due = Int((monotonicSeconds() - started) * rate)
      // Never more than a thousand open: a worker that cannot keep up is not to be buried.
      while sent < due, sent - reader.received < 1_000 {
        try writer.send(to: &socket)
        sent += 1
      }
      while try reader.receive(from: &socket, waiting: false) {}
      usleep(1_000)
    }
  }

  /// Puts `count` caps of `bytes` bytes, each twice, and reports the rate of the first, new ones, and of the second, duplicate ones.
  public static func put(_ endpoint: String, count: Int, bytes: Int, window: Int) throws {
    var writer = CapPutWriter(count: count, bytes: bytes)
    var reader = ReplyReader(bodyBytes: 32)
    var socket = try LoadSocket(.dealer, endpoint, bind: false)
    socket.setReceiveTimeout(milliseconds: patienceMilliseconds)
    var rates: [Double] = []
    for pass in 1...2 {
      let started = monotonicSeconds()
      var sent = 0
      while reader.received < pass * count {
        while sent < count, (pass - 1) * count + sent - reader.received < window {
          try writer.send(sent, to: &socket)
          sent += 1
        }
        guard try reader.receive(from: &socket) else {
          throw BenchError(.wrongResult, "only \(reader.received) of \(2 * count) replies came")
        }
      }
      rates.append(Double(count) / (monotonicSeconds() - started))
    }
    try printNumbers(["new": rates[0], "duplicate": rates[1], "cpu": cpuSeconds()])
  }
}
