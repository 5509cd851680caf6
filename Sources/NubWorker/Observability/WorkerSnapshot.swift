internal import Synchronization

/// What a worker has counted since its start.
public struct WorkerTotals: Sendable, Equatable {
  /// Jobs answered with status 0, and with another one.
  public var succeeded: UInt64 = 0
  public var failed: UInt64 = 0
  /// Jobs answered with what was recorded for their id.
  public var duplicates: UInt64 = 0
  /// Caps stored, and puts that the store answered.
  public var puts: UInt64 = 0
  public var skips: UInt64 = 0
  public var messages: UInt64 = 0
  public var receivedBytes: UInt64 = 0
  public var sentBytes: UInt64 = 0
  /// Messages without a readable job id.
  public var malformed: UInt64 = 0
  /// Replies that their peer did not take.
  public var undeliverable: UInt64 = 0
}

/// Jobs of one priority that wait for a lane.
public struct QueueLevel: Sendable, Equatable {
  public var jobs = 0
  /// How long the oldest of them has waited.
  public var oldestMicroseconds: UInt64 = 0
}

/// A worker at one moment, for its operator.
public struct WorkerSnapshot: Sendable {
  public struct Lane: Sendable {
    /// Jobs in the sandbox now; 0 for an idle lane.
    public var jobs = 0
    /// The first of them: its id, its tenant, and what it calls.
    public var jobID: [UInt8] = []
    public var tenant = ""
    public var function = ""
    /// Unique in the process; nil for an idle lane.
    public var sandbox: UInt64?
    /// How long it has been running this batch.
    public var microseconds: UInt64 = 0
  }

  public var name = ""
  public var version = ""
  public var engine = ""
  public var endpoints: [String] = []
  /// Unix time of the start.
  public var startedMilliseconds: Int64 = 0
  public var lanes: [Lane] = []
  /// By priority, 0 to 9.
  public var queue: [QueueLevel] = []
  /// Jobs between their door and their reply, and how many there may be.
  public var inFlight = 0
  public var maximumJobs = 0
  public var totals = WorkerTotals()
}

/// Where a worker's threads leave what its operator may ask for. The door thread writes ten times a second; what the lanes do is
/// looked up when somebody asks.
final class WorkerBoard: Sendable {
  private struct State {
    var snapshot = WorkerSnapshot()
    var lanes: LaneControl?
    var functions: [UInt32: String] = [:]
  }

  private let state = Mutex(State())

  func open(_ snapshot: WorkerSnapshot, lanes: LaneControl, functions: [(id: UInt32, name: String)]) {
    state.withLock { state in
      state.snapshot = snapshot
      state.snapshot.startedMilliseconds = UnixTime.milliseconds
      state.lanes = lanes
      state.functions = Dictionary(functions.map { ($0.id, $0.name) }) { first, _ in first }
    }
  }

  func set(queue: [QueueLevel], inFlight: Int, maximumJobs: Int, totals: WorkerTotals) {
    state.withLock { state in
      state.snapshot.queue = queue
      state.snapshot.inFlight = inFlight
      state.snapshot.maximumJobs = maximumJobs
      state.snapshot.totals = totals
    }
  }

  /// Nil while nothing is served yet.
  var lanes: LaneControl? { state.withLock { $0.lanes } }

  var snapshot: WorkerSnapshot {
    let (snapshot, lanes, functions) = state.withLock { ($0.snapshot, $0.lanes, $0.functions) }
    var current = snapshot
    current.lanes = lanes?.snapshot(functions) ?? []
    return current
  }
}
