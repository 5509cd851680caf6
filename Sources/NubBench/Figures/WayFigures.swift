/// A job's whole way: producer, worker and collector in processes of their own, over ipc, 64-byte echo, every result on disk before
/// its reply, unless a name says otherwise. The baseline is a libzmq echo of the same frames, without work or disk.
enum WayFigures {
  static let all: [Scenario] = [
    pipeline("pipeline", Variant()), direct("direct", Variant()),
    pipeline("pipeline_4k", Variant(payloadBytes: 4096, jobs: 100_000)),
    pipeline("pipeline_random_ids", Variant(hasRandomIDs: true)),
    pipeline("pipeline_normal", Variant(isDurable: false)),
    pipeline("pipeline_1_lane", Variant(lanes: 1)),
    pipeline("pipeline_4_lanes", Variant(lanes: 4)),
    pipeline("pipeline_4_tenants", Variant(tenants: 4)),
    pipeline("pipeline_16_tenants", Variant(tenants: 16)),
    pipeline("pipeline_64_tenants", Variant(tenants: 64)),
    direct("direct_4k", Variant(payloadBytes: 4096, jobs: 100_000)),
    direct("direct_random_ids", Variant(hasRandomIDs: true)),
    direct("direct_normal", Variant(isDurable: false)),
    direct("direct_1_lane", Variant(lanes: 1)),
    direct("direct_4_lanes", Variant(lanes: 4)),
    direct("direct_64_tenants", Variant(tenants: 64)),
    latency, latencyUnderLoad, puts, soak,
  ]

  private struct Variant {
    var payloadBytes = 64
    var hasRandomIDs = false
    var isDurable = true
    var lanes = 2
    var tenants = 1
    var jobs = 200_000
    var window = 10_000

    var shape: [String] {
      ["--payload", "\(payloadBytes)", "--tenants", "\(tenants)"] + (hasRandomIDs ? ["--random-ids"] : [])
    }
    var settings: WorkerProcess.Settings { .init(lanes: lanes, isDurable: isDurable) }
  }

  /// One run of producer, the process in the middle, and collector.
  private static func runPipeline(
    nub: String, scratch: String, echo: String?, _ variant: Variant, jobs: Int
  ) throws(BenchError) -> (numbers: ProcessNumbers, producerCPU: Double) {
    let endpoints = (jobs: "ipc://\(scratch)/jobs.sock", replies: "ipc://\(scratch)/replies.sock")
    let store = "\(scratch)/pipeline.db"
    removeStore(store)
    let door = WorkerProcess.Door.pipeline(jobs: endpoints.jobs, replies: endpoints.replies)
    let worker: WorkerProcess
    if let echo {
      worker = try WorkerProcess(echo: echo, door)
    } else {
      worker = try WorkerProcess(nub, door, store: store, variant.settings)
    }
    let window = min(variant.window, jobs / 4)
    var collector = try ChildProcess(
      nub,
      [
        "bench", "collect", endpoints.replies, "--count", "\(jobs)", "--skip", "\(jobs / 10)", "--window",
        "\(window)",
        "--payload", "\(variant.payloadBytes)", "--watch", "\(worker.process.pid)",
      ])
    var producer = try ChildProcess(
      nub,
      ["bench", "produce", endpoints.jobs, "--count", "\(jobs)", "--until", "\(collector.pid)"]
        + variant.shape)
    let numbers = try ProcessNumbers(try collector.finish(), from: "the collector")
    let produced = try ProcessNumbers(try producer.finish(), from: "the producer")
    // Ends the worker, not before this line.
    _ = consume worker
    return (numbers, try produced.number("cpu"))
  }

  private static func pipeline(_ name: String, _ variant: Variant) -> Scenario {
    let measures = [
      Measure(name, "jobs/s", against: "a libzmq echo"),
      Measure("\(name)_cpu", "CPU s per million jobs, worker", against: "a libzmq echo"),
      Measure("\(name)_cpu_all", "CPU s per million jobs, three processes", against: "a libzmq echo"),
      Measure("\(name)_memory", "MiB resident", against: "a libzmq echo"),
    ]
    return Scenario(name, measures, rounds: name == "pipeline" ? nil : 3) { context throws(BenchError) in
      let (nub, scratch, echo) = (context.nub, context.scratch, context.baseline("zmq_echo"))
      let jobs = context.scaled(variant.jobs, minimum: 2_000)
      @Sendable func measure(_ echo: String?) throws(BenchError) -> [Double?] {
        let (numbers, producerCPU) = try runPipeline(
          nub: nub, scratch: scratch, echo: echo, variant, jobs: jobs)
        let counted = try numbers.number("jobs")
        let workerCPU = try numbers.number("worker_cpu") / counted * 1e6
        // The others are charged from their start, start-up included.
        let others = (try numbers.number("cpu") + producerCPU) / Double(jobs) * 1e6
        return [
          counted / (try numbers.number("seconds")), workerCPU, workerCPU + others,
          try numbers.number("memory_peak"),
        ]
      }
      var contest = Contest { () throws(BenchError) in try measure(nil) }
      if let echo { contest.baseline = { () throws(BenchError) in try measure(echo) } }
      return contest
    }
  }

  /// Starts a worker with a direct door, or the echo, and asks it.
  private static func ask(
    nub: String, scratch: String, echo: String?, _ variant: Variant = Variant(), count: Int, skip: Int,
    window: Int, rate: Double = 0
  ) throws(BenchError) -> ProcessNumbers {
    let endpoint = "ipc://\(scratch)/direct.sock"
    let store = "\(scratch)/direct.db"
    removeStore(store)
    let worker: WorkerProcess
    if let echo {
      worker = try WorkerProcess(echo: echo, .direct(endpoint))
    } else {
      worker = try WorkerProcess(nub, .direct(endpoint), store: store, variant.settings)
    }
    var presser: ChildProcess?
    if rate > 0 { presser = try ChildProcess(nub, ["bench", "press", endpoint, "--rate", "\(rate)"]) }
    var asker = try ChildProcess(
      nub,
      [
        "bench", "ask", endpoint, "--count", "\(count)", "--skip", "\(skip)", "--window", "\(window)",
        "--watch",
        "\(worker.process.pid)",
      ] + variant.shape)
    let numbers = try ProcessNumbers(try asker.finish(), from: "the asker")
    // It is killed here, and the worker after it.
    _ = consume presser
    _ = consume worker
    return numbers
  }

  private static func direct(_ name: String, _ variant: Variant) -> Scenario {
    let measures = [
      Measure(name, "jobs/s", against: "a libzmq echo"),
      Measure("\(name)_cpu", "CPU s per million jobs, worker", against: "a libzmq echo"),
      Measure("\(name)_memory", "MiB resident", against: "a libzmq echo"),
    ]
    return Scenario(name, measures, rounds: 3) { context throws(BenchError) in
      let (nub, scratch, echo) = (context.nub, context.scratch, context.baseline("zmq_echo"))
      let jobs = context.scaled(variant.jobs, minimum: 2_000)
      @Sendable func measure(_ echo: String?) throws(BenchError) -> [Double?] {
        let numbers = try ask(
          nub: nub, scratch: scratch, echo: echo, variant, count: jobs, skip: jobs / 10, window: 2_000)
        let counted = try numbers.number("jobs")
        return [
          counted / (try numbers.number("seconds")), try numbers.number("worker_cpu") / counted * 1e6,
          try numbers.number("memory_peak"),
        ]
      }
      var contest = Contest { () throws(BenchError) in try measure(nil) }
      if let echo { contest.baseline = { () throws(BenchError) in try measure(echo) } }
      return contest
    }
  }

  /// One job at a time. The baseline is the sum of what it cannot do without: the echo of its frames, one exit from a VM, one durable
  /// transaction of one row.
  private static let latency = Scenario(
    "latency",
    [
      Measure("latency_p50", "µs", against: "echo + exit + commit"), Measure("latency_p99", "µs"),
      Measure("latency_p999", "µs"), Measure("latency_echo_p50", "µs"), Measure("latency_exit_p50", "µs"),
      Measure("latency_commit_p50", "µs"),
    ], rounds: 3
  ) { context throws(BenchError) in
    let (nub, scratch, echo) = (context.nub, context.scratch, context.baseline("zmq_echo"))
    let parts = (kvm: context.baseline("kvm_call"), commit: context.baseline("latency_parts"))
    let count = context.scaled(5_000, minimum: 200)
    // The parts of the last run, for the record: the baseline is their sum.
    let latest = LatestParts()
    var contest = Contest { () throws(BenchError) in
      let numbers = try ask(nub: nub, scratch: scratch, echo: nil, count: count, skip: count / 10, window: 1)
      return [
        try numbers.number("p50"), try numbers.number("p99"), try numbers.number("p999"), latest.echo,
        latest.exit,
        latest.commit,
      ]
    }
    if let echo, let kvm = parts.kvm, let commit = parts.commit {
      contest.baseline = { () throws(BenchError) in
        let file = "\(scratch)/parts.db"
        let echoed = try ask(
          nub: nub, scratch: scratch, echo: echo, count: count, skip: count / 10, window: 1
        )
        .number("p50")
        let exit = try runForNumbers(kvm, ["call", "\(count)"]).number("p50")
        removeStore(file)
        let committed = try runForNumbers(commit, [file, "\(count)"]).number("p50")
        (latest.echo, latest.exit, latest.commit) = (echoed, exit, committed)
        return [echoed + exit + committed]
      }
    }
    return contest
  }

  private final class LatestParts {
    var echo: Double?
    var exit: Double?
    var commit: Double?
  }

  /// The same while another asker keeps the worker at half of what it can do through this door.
  private static let latencyUnderLoad = Scenario(
    "latency_loaded",
    [
      Measure("latency_loaded_p50", "µs"), Measure("latency_loaded_p99", "µs"),
      Measure("latency_loaded_p999", "µs"),
      Measure("latency_loaded_rate", "jobs/s of load"),
    ], rounds: 3
  ) { context throws(BenchError) in
    let (nub, scratch) = (context.nub, context.scratch)
    let count = context.scaled(3_000, minimum: 200)
    let jobs = context.scaled(60_000, minimum: 2_000)
    return Contest { () throws(BenchError) in
      let full = try ask(nub: nub, scratch: scratch, echo: nil, count: jobs, skip: jobs / 10, window: 2_000)
      let rate = try full.number("jobs") / (try full.number("seconds")) / 2
      let numbers = try ask(
        nub: nub, scratch: scratch, echo: nil, count: count, skip: count / 10, window: 1, rate: rate)
      return [try numbers.number("p50"), try numbers.number("p99"), try numbers.number("p999"), rate]
    }
  }

  /// Data caps of 64 KiB, sent whole with their hashes: new ones, then the same again.
  private static let puts = Scenario(
    "puts",
    [
      Measure("puts_new", "caps/s", against: "a libzmq echo"),
      Measure("puts_duplicate", "caps/s", against: "a libzmq echo"),
    ], rounds: 3
  ) { context throws(BenchError) in
    let (nub, scratch, echo) = (context.nub, context.scratch, context.baseline("zmq_echo"))
    let count = context.scaled(4_000, minimum: 200)
    @Sendable func measure(_ echo: String?) throws(BenchError) -> [Double?] {
      let endpoint = "ipc://\(scratch)/puts.sock"
      let store = "\(scratch)/puts.db"
      removeStore(store)
      let worker: WorkerProcess
      if let echo {
        worker = try WorkerProcess(echo: echo, .direct(endpoint))
      } else {
        worker = try WorkerProcess(nub, .direct(endpoint), store: store, .init())
      }
      // Up before the first put, so that its start is not part of the rate.
      var warmUp = try ChildProcess(nub, ["bench", "ask", endpoint, "--count", "100", "--window", "1"])
      _ = try warmUp.finish()
      var producer = try ChildProcess(
        nub, ["bench", "put", endpoint, "--count", "\(count)", "--bytes", "65536", "--window", "64"])
      let numbers = try ProcessNumbers(try producer.finish(), from: "the producer")
      // Ends the worker, not before this line.
      _ = consume worker
      return [try numbers.number("new"), try numbers.number("duplicate")]
    }
    var contest = Contest { () throws(BenchError) in try measure(nil) }
    if let echo { contest.baseline = { () throws(BenchError) in try measure(echo) } }
    return contest
  }

  /// A million jobs into one store, through one worker: the last hundred thousand against the first.
  private static let soak = Scenario(
    "soak",
    [
      Measure("soak_time", "µs per job", against: "the first 100 000 jobs"),
      Measure("soak_cpu", "CPU µs per job, worker", against: "the first 100 000 jobs"),
      Measure("soak_memory", "MiB resident", against: "the first 100 000 jobs"),
      Measure("soak_rate", "jobs/s over all"), Measure("soak_file", "bytes of store per job"),
    ], rounds: 1
  ) { context throws(BenchError) in
    let (nub, scratch) = (context.nub, context.scratch)
    var variant = Variant()
    let jobs = context.scaled(1_000_000, minimum: 20_000)
    variant.window = jobs / 10
    let settled = variant
    let kept = KeptNumbers()
    return Contest(
      figure: { () throws(BenchError) in
        let numbers = try runPipeline(nub: nub, scratch: scratch, echo: nil, settled, jobs: jobs).numbers
        kept.numbers = numbers
        let window = Double(settled.window)
        return [
          try numbers.number("last_seconds") / window * 1e6, try numbers.number("last_cpu") / window * 1e6,
          try numbers.number("memory_end"), try numbers.number("jobs") / (try numbers.number("seconds")),
          storeBytes("\(scratch)/pipeline.db") / Double(jobs),
        ]
      },
      baseline: { () throws(BenchError) in
        guard let numbers = kept.numbers else { return [] }
        let window = Double(settled.window)
        return [
          try numbers.number("first_seconds") / window * 1e6, try numbers.number("first_cpu") / window * 1e6,
          try numbers.number("memory_start"),
        ]
      })
  }

  private final class KeptNumbers {
    var numbers: ProcessNumbers?
  }
}
