/// Which finished jobs are meant. Everything that is set must hold; nothing set means all.
public struct ResultFilter: Sendable {
  /// The tenant's name; empty for the default one.
  public var tenant: String?
  /// A word of ``Names/states``: `succeeded`, `failed`, `cancelled`, `quarantined`.
  public var state: String?
  /// Numbers of the protocol's table.
  public var statuses: [UInt32] = []
  /// Any status other than 0.
  public var onlyFailures = false
  /// A word of ``Names/verbs``.
  public var verb: String?
  /// A function's name in any image, or its number.
  public var function: String?
  /// A worker's name.
  public var worker: String?
  /// Finished at this Unix time in milliseconds or later.
  public var since: Int64?
  /// Finished before this Unix time in milliseconds.
  public var until: Int64?

  public init() {}
}

/// In which order results are listed.
public enum ResultOrder: String, Sendable, CaseIterable {
  /// As they were recorded, the last first.
  case newest
  /// As they were recorded.
  case oldest
  /// The longest run first.
  case slowest
  /// The longest wait first.
  case longestQueued = "longest-queued"

  /// Whether a list has one page, the first rows by their size: for another one everything would have to be looked at again.
  public var isRanking: Bool { self == .slowest || self == .longestQueued }
}

/// Where a list goes on. Its text may be handed to people and taken back.
public struct PageCursor: Sendable, Hashable, CustomStringConvertible {
  var position: Int64

  init(position: Int64) {
    self.position = position
  }

  /// nil for what no list has handed out.
  public init?(_ text: String) {
    guard let position = Int64(text), (0..<FileNumber.limit).contains(position) else { return nil }
    self.position = position
  }

  public var description: String { String(position) }
}

/// One page of a list.
public struct Page<Row: Sendable>: Sendable {
  public var rows: [Row]
  /// Where to go on; nil if the list has ended. A page may have few rows or none and still have a cursor: time was up.
  public var next: PageCursor?
  /// Of a ranking for which time was up: it ranks the jobs that finished since about this Unix time in milliseconds, and looked at
  /// no others. Nil where all were looked at.
  public var ranksSince: Int64?
}

/// A finished job, without its result's bytes.
public struct ResultRow: Sendable, Codable, Equatable {
  /// Ascends in the order of recording.
  public var seq: Int64
  public var jobID: [UInt8]
  public var tenant: String
  public var verb: String
  /// Name, or number, or the operand in hex.
  public var function: String
  public var state: String
  public var status: UInt32
  public var guestStatus: UInt32?
  public var message: String?
  /// Bytes of the result; nil where there is none.
  public var resultBytes: Int?
  public var attempts: UInt32
  public var worker: String
  public var engine: String
  public var image: String?
  public var sandbox: UInt64
  public var queuedMicroseconds: UInt64
  public var runMicroseconds: UInt64
  /// Unix time.
  public var acceptedMilliseconds: Int64
  /// Unix time.
  public var finishedMilliseconds: Int64

  /// The protocol's word for ``status``.
  public var statusName: String { Names.word(Int64(status), in: Names.statuses) }
}

/// A finished job with all that is known of it.
public struct ResultDetail: Sendable, Equatable {
  public var row: ResultRow
  public var result: [UInt8]?
  public var digest: [UInt8]
  /// Whether its request is kept, so that it can be run again.
  public var canRetry: Bool
}
