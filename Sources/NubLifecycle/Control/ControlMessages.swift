/// What a worker can be told.
public enum ControlCommand: String, Sendable, CaseIterable {
  /// Nothing: how is it?
  case status
  /// Take nothing new until `resume`.
  case quiet
  case resume
  /// Finish what is here, and end.
  case drain
  /// Read the authorized keys again.
  case reload
  /// Write a core file of each guest that runs at this moment.
  case dump
}

/// How a worker is, as `nub worker ctl` shows it.
public struct ControlStatus: Codable, Sendable, Equatable {
  public var name: String
  public var pid: Int32
  public var version: String
  public var engine: String
  public var phase: String
  public var live: Bool
  public var ready: Bool
  /// Threads that have work and make no progress.
  public var stuck: [String]
  /// Why the store takes no new work, and why no sandbox could be made.
  public var store: String?
  public var sandboxes: String?
  public var lanes: Int
  public var lanesBusy: Int
  public var waiting: Int
  public var inFlight: Int
  /// Replies at pipeline doors that nobody collects.
  public var uncollected: Int?
  public var succeeded: UInt64
  public var failed: UInt64
  public var duplicates: UInt64
  public var endpoints: [String]
  /// Unix milliseconds.
  public var started: Int64

  enum CodingKeys: String, CodingKey {
    case name, pid, version, engine, phase, live, ready, stuck, store, sandboxes, lanes, waiting, succeeded,
      uncollected
    case failed, duplicates, endpoints
    case lanesBusy = "lanes_busy"
    case inFlight = "in_flight"
    case started = "started_ms"
  }
}

/// What comes back.
public struct ControlReply: Codable, Sendable, Equatable {
  /// Why the command was not obeyed; nil where it was.
  public var error: String?
  /// What else there is to say.
  public var note: String?
  /// The core files that ``ControlCommand/dump`` has written.
  public var dumps: [String]?
  public var status: ControlStatus
}
