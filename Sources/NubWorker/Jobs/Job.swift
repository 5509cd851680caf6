internal import NubCap
internal import Synchronization

/// Names a job inside this process: ids are scoped by tenant.
struct JobKey: Hashable, Sendable {
  var tenant: TenantSlot
  var id: ShortBytes
}

/// Who waits for a job's reply.
struct Asker: Sendable {
  /// The door's index.
  var door: Int
  var envelope: Envelope
  /// The job id that this one used: identical puts are one job, whatever their ids.
  var id: ShortBytes
}

/// A `call` or `put_cap` on its way through the worker.
///
/// Everything up to `body` is fixed when the door thread makes the job. `askers` belongs to the door thread alone. The rest
/// belongs to whichever stage holds the job: door, lane, committer, door again. Stages hand jobs on through queues whose locks
/// order their accesses, and no two stages hold the same job: that is why it may be Sendable.
final class Job: @unchecked Sendable {
  /// What a sandbox is to do.
  enum Work: Sendable {
    case call(function: UInt32)
    case putCap(claim: CapHash?)
  }

  let key: JobKey
  let tenantName: ShortBytes
  let work: Work
  let digest: JobDigest
  let options: JobOptions
  /// Caps that came along, in wire form.
  let attachedCaps: [AttachedCap]
  let accepted: Monotonic
  let acceptedUnixMilliseconds: Int64
  /// The payload, or the cap's wire form.
  let body: JobBytes

  /// Door thread only.
  var askers: [Asker]

  /// The journal's entry that this job must leave when it is finished.
  var journal: JournalBatch?
  /// Whether it is suspected of having broken a sandbox, or a worker: it runs by itself from then on.
  var isSuspect = false
  /// How many times it has been started, this time included.
  var attempt: UInt32 = 0
  var started: Monotonic?
  /// Set once, by the stage that ends the job.
  var outcome: JobOutcome?
  /// What a finished put, or the caps that came along, add to the store.
  var filedCaps: [FiledCap] = []
  /// Set by the door thread, read by the lane.
  let isCancelled = Atomic<Bool>(false)

  init(
    key: JobKey, tenantName: ShortBytes, work: Work, digest: JobDigest, options: JobOptions,
    attachedCaps: [AttachedCap], accepted: Monotonic, acceptedUnixMilliseconds: Int64, asker: Asker?,
    body: consuming JobBytes
  ) {
    self.key = key
    self.tenantName = tenantName
    self.work = work
    self.digest = digest
    self.options = options
    self.attachedCaps = attachedCaps
    self.accepted = accepted
    self.acceptedUnixMilliseconds = acceptedUnixMilliseconds
    self.body = body
    askers = asker.map { [$0] } ?? []
  }

  var mustRunAlone: Bool { isSuspect || options.fresh }

  /// When it must not be started any more, in microseconds of the monotonic clock.
  var expires: UInt64? {
    guard let time = options.expiresAtMilliseconds else { return nil }
    let left = Int64(clamping: time) - acceptedUnixMilliseconds
    guard left > 0 else { return 0 }
    let (microseconds, over) = UInt64(left).multipliedReportingOverflow(by: 1_000)
    return over ? .max : accepted.microseconds &+ microseconds
  }

  /// Bytes of memory that the job's content takes: what credit is counted in.
  var byteCount: Int { attachedCaps.reduce(body.view.count) { $0 + $1.body.view.count } }
}

/// A cap that came with a call.
final class AttachedCap: @unchecked Sendable {
  // Fixed from init on; the bytes are never written.
  let body: JobBytes
  init(_ body: consuming JobBytes) { self.body = body }
}

/// A cap that the host has checked, ready to be stored.
struct FiledCap: Sendable {
  var hash: CapHash
  /// The union's selector.
  var kind: UInt8
  var references: [CapHash]
  /// Whose bytes `wire` is: the job's body, or one of its attached caps.
  var source: Source

  enum Source: Sendable {
    case body
    case attached(Int)
  }
}

/// How a job ended.
struct JobOutcome: Sendable {
  var status: Status
  /// The function's result, or for an error the text for the producer.
  var body: [UInt8] = []
  var guestStatus: UInt32?
  var retryAfterMilliseconds: UInt32?
  var sandbox: UInt64 = 0
  var queuedMicroseconds: UInt64 = 0
  var runMicroseconds: UInt64 = 0

  init(_ status: Status, _ body: [UInt8] = []) {
    self.status = status
    self.body = body
  }

  init(_ status: Status, message: String) {
    self.status = status
    body = Array(message.utf8)
  }
}
