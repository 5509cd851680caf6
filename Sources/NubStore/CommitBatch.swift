public import NubCap

/// A job that has ended with a status that is recorded. Sizes are checked by the store: a job id has 1 to 64 bytes, body and
/// message together at most 1 GiB.
public struct FinishedJob: Sendable {
  public var tenant: TenantID
  public var jobID: StoreBytes
  /// The verb's number; 0 is `call`.
  public var verb: UInt8
  /// As it was sent; for a call four bytes, little-endian.
  public var operand: StoreBytes
  public var digest: ContentDigest
  /// How often the job has been started, 0 if never.
  public var attempts: UInt32
  /// The status of the reply.
  public var status: UInt32
  public var guestStatus: UInt32?
  /// The reply's body for status 0.
  public var body: StoreBytes
  /// The reply's body for any other status: text for a person. Bytes that are not UTF-8 are stored as they are.
  public var message: StoreBytes
  public var engine: Engine
  public var image: ImageID?
  public var sandbox: UInt64
  public var queuedMicroseconds: UInt64
  public var runMicroseconds: UInt64
  /// Unix time.
  public var acceptedMilliseconds: Int64
  /// Unix time.
  public var finishedMilliseconds: Int64
  /// The whole request in the worker's own encoding, kept with a failed job so that `StoreMaintenance.retry` can run it
  /// again; empty if nobody will want that.
  public var request: StoreBytes

  public init(
    tenant: TenantID, jobID: StoreBytes, verb: UInt8 = 0, operand: StoreBytes = .empty, digest: ContentDigest,
    attempts: UInt32 = 1, status: UInt32, guestStatus: UInt32? = nil, body: StoreBytes = .empty,
    message: StoreBytes = .empty, engine: Engine = .kvm, image: ImageID? = nil, sandbox: UInt64 = 0,
    queuedMicroseconds: UInt64 = 0, runMicroseconds: UInt64 = 0, acceptedMilliseconds: Int64,
    finishedMilliseconds: Int64, request: StoreBytes = .empty
  ) {
    self.tenant = tenant
    self.jobID = jobID
    self.verb = verb
    self.operand = operand
    self.digest = digest
    self.attempts = attempts
    self.status = status
    self.guestStatus = guestStatus
    self.body = body
    self.message = message
    self.engine = engine
    self.image = image
    self.sandbox = sandbox
    self.queuedMicroseconds = queuedMicroseconds
    self.runMicroseconds = runMicroseconds
    self.acceptedMilliseconds = acceptedMilliseconds
    self.finishedMilliseconds = finishedMilliseconds
    self.request = request
  }
}

/// One row of the journal: jobs that were pulled together and are not all finished.
public struct JournalAddition: Sendable {
  /// From ``StoreWriter/makeJournalID()``.
  public var id: JournalID
  /// How often these jobs have been run alone.
  public var attempts: UInt32
  /// How many jobs `jobs` holds.
  public var count: UInt32
  /// The jobs in the worker's own encoding; the store does not look inside.
  public var jobs: StoreBytes

  public init(id: JournalID, attempts: UInt32 = 0, count: UInt32, jobs: StoreBytes) {
    self.id = id
    self.attempts = attempts
    self.count = count
    self.jobs = jobs
  }
}

/// A journal row whose jobs are about to be run once more.
public struct JournalUpdate: Sendable {
  public var id: JournalID
  public var attempts: UInt32

  public init(id: JournalID, attempts: UInt32) {
    self.id = id
    self.attempts = attempts
  }
}

/// A cap to be filed. One that the store has already is made visible to the tenant and counted, nothing else.
public struct NewCap: Sendable {
  public var hash: CapHash
  /// The selector of the cap's union: 0 Instance, 1 Image, 2 Data, 3 CNode, 4 Type.
  public var kind: UInt8
  public var wire: StoreBytes
  /// What the cap refers to, without repetitions. The store need not have it.
  public var references: [CapHash]
  /// Who put it.
  public var tenant: TenantID

  public init(hash: CapHash, kind: UInt8, wire: StoreBytes, references: [CapHash] = [], tenant: TenantID) {
    self.hash = hash
    self.kind = kind
    self.wire = wire
    self.references = references
    self.tenant = tenant
  }
}

/// Uses of a cap since they were last reported. They are gathered by the worker and flushed now and then.
public struct CapUse: Sendable {
  public var hash: CapHash
  /// Puts that found the cap already filed and ran nothing.
  public var skips: UInt32
  /// Unix time of the last use of any kind.
  public var lastUsedMilliseconds: Int64

  public init(hash: CapHash, skips: UInt32, lastUsedMilliseconds: Int64) {
    self.hash = hash
    self.skips = skips
    self.lastUsedMilliseconds = lastUsedMilliseconds
  }
}

/// Somebody wants a job ended that may be running in another process on this store.
public struct CancelRequest: Sendable {
  public var tenant: TenantID
  public var jobID: StoreBytes
  /// Unix time.
  public var requestedMilliseconds: Int64

  public init(tenant: TenantID, jobID: StoreBytes, requestedMilliseconds: Int64) {
    self.tenant = tenant
    self.jobID = jobID
    self.requestedMilliseconds = requestedMilliseconds
  }
}

/// What one transaction is to change. Meant to be filled, committed, emptied and filled again.
public struct CommitBatch: Sendable {
  public var finished: [FinishedJob] = []
  public var journalAdditions: [JournalAddition] = []
  public var journalUpdates: [JournalUpdate] = []
  public var journalDeletions: [JournalID] = []
  public var caps: [NewCap] = []
  public var capUses: [CapUse] = []
  public var cancels: [CancelRequest] = []
  /// The time of a heartbeat in Unix milliseconds, if one is due.
  public var heartbeat: Int64?

  public init() {}

  public var isEmpty: Bool {
    finished.isEmpty && journalAdditions.isEmpty && journalUpdates.isEmpty && journalDeletions.isEmpty
      && caps.isEmpty
      && capUses.isEmpty && cancels.isEmpty && heartbeat == nil
  }

  /// Whether somebody is told, after the commit, that something is safe: then the commit waits for the disk. The journal, counters and
  /// heartbeats alone do not: a power cut takes of them only what it also takes of ZeroMQ's buffers. A process that is killed
  /// loses nothing either way.
  public var needsDurability: Bool { !(finished.isEmpty && caps.isEmpty && cancels.isEmpty) }

  /// Empties the batch and keeps its memory.
  public mutating func removeAll() {
    finished.removeAll(keepingCapacity: true)
    journalAdditions.removeAll(keepingCapacity: true)
    journalUpdates.removeAll(keepingCapacity: true)
    journalDeletions.removeAll(keepingCapacity: true)
    caps.removeAll(keepingCapacity: true)
    capUses.removeAll(keepingCapacity: true)
    cancels.removeAll(keepingCapacity: true)
    heartbeat = nil
  }
}
