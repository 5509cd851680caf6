/// A recorded result, where it lies in the database's page cache: the pointers are good during the call that hands it out, and
/// not a moment longer. What is kept is copied, once, to where it is needed.
public struct RecordedJob: ~Copyable {
  public let status: UInt32
  public let guestStatus: UInt32?
  /// The reply's body: the result for status 0, the message for any other.
  public let body: UnsafeRawBufferPointer
  public let digest: ContentDigest
  public let attempts: UInt32
  /// Who ran it; ``StoreReader/workerName(_:)`` knows the name.
  public let worker: WorkerID
  /// nil if the file names an engine that this program does not know.
  public let engine: Engine?
  public let sandbox: UInt64
  public let queuedMicroseconds: UInt64
  public let runMicroseconds: UInt64
  /// Unix time.
  public let finishedMilliseconds: Int64
}

/// A journal row that this worker has inherited.
public struct InheritedJournal: Sendable {
  public var id: JournalID
  /// How often these jobs have been run alone.
  public var attempts: UInt32
  public var count: UInt32
  /// The jobs, as their worker encoded them.
  public var jobs: [UInt8]
  /// Why the row has no owner.
  public var origin: Origin

  public enum Origin: Sendable, Equatable {
    /// Its worker died: one of these jobs may have killed it.
    case died(WorkerID)
    /// Its worker stopped in good order and left these undone.
    case stopped(WorkerID)
    /// A person asked for these jobs to be run again.
    case retried
  }
}
