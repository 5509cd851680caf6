/// The process in the middle: nub's worker, or the C program that echoes the same frames without doing any work.
struct WorkerProcess: ~Copyable {
  /// How the worker is set up.
  struct Settings: Sendable {
    var lanes = 2
    var isDurable = true
  }

  enum Door {
    /// The producer and the collector bind, the worker connects, as in the classic pipeline.
    case pipeline(jobs: String, replies: String)
    case direct(String)
  }

  var process: ChildProcess

  /// Starts nub's worker on a store of its own.
  init(_ nub: String, _ door: Door, store: String, _ settings: Settings) throws(BenchError) {
    var arguments = ["worker", "--store", store, "--lanes", "\(settings.lanes)"]
    switch door {
    case .pipeline(let jobs, let replies): arguments += ["--jobs", ">" + jobs, "--replies", ">" + replies]
    case .direct(let endpoint): arguments += ["--serve", endpoint]
    }
    if !settings.isDurable { arguments += ["--durability", "normal"] }
    process = try ChildProcess(nub, arguments, log: store + ".log")
  }

  /// Starts the echo.
  init(echo program: String, _ door: Door) throws(BenchError) {
    switch door {
    case .pipeline(let jobs, let replies): process = try ChildProcess(program, ["pipeline", jobs, replies])
    case .direct(let endpoint): process = try ChildProcess(program, ["direct", endpoint])
    }
  }
}
