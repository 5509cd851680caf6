public import NubCap

/// The store at a glance.
public struct StoreStatistics: Sendable, Codable {
  public var jobs: Int64
  /// Jobs by the word for their status.
  public var jobsByStatus: [String: Int64]
  /// Jobs in the journal: pulled, not finished.
  public var pendingJobs: Int64
  public var pendingBatches: Int64
  public var caps: Int64
  /// Wire bytes of all caps.
  public var capBytes: Int64
  /// Puts that ran, and puts that were spared.
  public var capPuts: Int64
  public var capSkips: Int64
  public var tenants: Int64
  /// Workers that hold their lock now.
  public var liveWorkers: [String]
  /// Unix milliseconds of the first and the last recorded job.
  public var oldestMilliseconds: Int64?
  public var newestMilliseconds: Int64?
  /// The database file, in bytes; of which free pages inside.
  public var fileBytes: Int64
  public var freeBytes: Int64
  /// The log next to it, in bytes.
  public var logBytes: Int64

  enum CodingKeys: String, CodingKey {
    case jobs, caps, tenants
    case jobsByStatus = "jobs_by_status"
    case pendingJobs = "pending_jobs"
    case pendingBatches = "pending_batches"
    case capBytes = "cap_bytes"
    case capPuts = "cap_puts"
    case capSkips = "cap_skips"
    case liveWorkers = "live_workers"
    case oldestMilliseconds = "oldest_ms"
    case newestMilliseconds = "newest_ms"
    case fileBytes = "file_bytes"
    case freeBytes = "free_bytes"
    case logBytes = "log_bytes"
  }
}

/// One minute of work.
public struct ThroughputRow: Sendable, Codable, Equatable {
  public var minute: String
  public var jobs: Int64
  public var succeeded: Int64
  public var failed: Int64
  public var meanQueuedMicroseconds: Int64
  public var meanRunMicroseconds: Int64
  public var maximumRunMicroseconds: Int64
}

/// Which caps are meant.
public struct CapFilter: Sendable {
  /// A word of ``Names/capKinds``.
  public var kind: String?
  /// A tenant's name.
  public var tenant: String?
  /// Not used since this Unix time in milliseconds.
  public var unusedSince: Int64?
  /// That refer to a cap which the store does not have.
  public var onlyIncomplete = false

  public init() {}
}

/// A cap in the store.
public struct CapRow: Sendable, Codable, Equatable {
  public var cap: Int64
  /// Hexadecimal.
  public var hash: String
  public var kind: String
  /// Wire bytes.
  public var size: Int64
  public var puts: Int64
  public var skips: Int64
  /// Whether it refers to a cap that the store does not have.
  public var isIncomplete: Bool
  /// Unix time.
  public var firstPutMilliseconds: Int64
  /// Unix time.
  public var lastUsedMilliseconds: Int64

  enum CodingKeys: String, CodingKey {
    case cap, hash, kind, size, puts, skips
    case isIncomplete = "incomplete"
    case firstPutMilliseconds = "first_put_ms"
    case lastUsedMilliseconds = "last_used_ms"
  }
}

/// A cap with its surroundings.
public struct CapDetail: Sendable, Codable, Equatable {
  public var row: CapRow
  /// What it refers to, in hexadecimal, and whether the store has that.
  public var references: [Reference]
  /// How many caps refer to it.
  public var referredBy: Int64
  public var tenants: [String]

  public struct Reference: Sendable, Codable, Equatable {
    public var hash: String
    public var isPresent: Bool

    enum CodingKeys: String, CodingKey {
      case hash
      case isPresent = "present"
    }
  }

  enum CodingKeys: String, CodingKey {
    case row, references, tenants
    case referredBy = "referred_by"
  }
}

/// What became of the re-hashing of some caps.
public struct CapVerification: Sendable {
  public var checked: Int
  public var checkedBytes: Int64
  /// The hashes under which bytes lie that do not have that hash, are no cap, or cannot be read.
  public var damaged: [CapHash]
  /// Why some caps may not have been looked at, in words; empty if all were.
  public var problems: [String]
  /// Where to go on; nil at the end.
  public var next: PageCursor?
}
