internal import NubCap
internal import NubStore
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
  /// Which of the door's openings it came in by: a socket that was opened again may give its routing id to somebody else.
  var opening: UInt32 = 0
  var envelope: Envelope
  /// The job id that this one used: identical puts are one job, whatever their ids.
  var id: ShortBytes
}

extension Asker {
  init(_ door: Door, _ envelope: Envelope, _ id: ShortBytes) {
    self.init(door: door.index, opening: door.opening, envelope: envelope, id: id)
  }
}

/// A `call` or `put_cap` on its way through the worker.
///
/// Everything up to `content` is fixed when the door thread makes the job. `askers` belongs to the door thread alone. The rest
/// belongs to whichever stage holds the job: door, lane, committer, door again. Stages hand jobs on through queues whose locks
/// order their accesses, and no two stages hold the same job: that is why it may be Sendable.
final class Job: @unchecked Sendable {
  /// What a sandbox is to do.
  enum Work: Sendable {
    case call(function: UInt32)
    case putCap(claim: CapHash?)

    var verb: Verb {
      switch self {
      case .call: .call
      case .putCap: .putCap
      }
    }
  }

  let key: JobKey
  let tenantName: ShortBytes
  let work: Work
  /// Of a call; puts are compared by their bytes.
  let digest: ContentDigest?
  let options: JobOptions
  /// Frame 5 as it came; kept for the journal.
  let rawOptions: [UInt8]
  /// Caps that came along, in wire form.
  let attachedCaps: [AttachedCap]
  let accepted: Monotonic
  let acceptedUnixMilliseconds: Int64
  private let content: JobContent

  /// Door thread only.
  var askers: [Asker]

  /// The journal's row that this job must leave when it is finished.
  var journal: JournalBatch?
  /// Whether it is suspected of having broken a sandbox, or a worker: it runs by itself from then on.
  var isSuspect = false
  /// How many times it has been started, this time included.
  var attempt: UInt32 = 0
  var started: Monotonic?
  /// Set once, by the stage that ends the job.
  var outcome: JobOutcome?
  /// The result that is recorded for this job's id already: that one counts, and is what the askers get.
  var winner: RecordedResult?
  /// What a finished put, or the caps that came along, add to the store.
  var filedCaps: [FiledCap] = []
  /// Of a put that a lane has looked at: how it stands with others of the same bytes.
  var standing: SharedPuts.Standing?
  /// Its place in its producer's trace.
  let trace: JobTrace?
  /// Whether it is in no table and nobody waits for it: it only has to leave the journal.
  var isStray = false
  /// Whether a pipeline door brought it; fixed before anybody but the door thread has it.
  var isPulled = false
  /// Set by the door thread, read by the lane.
  let isCancelled = Atomic<Bool>(false)

  init(
    key: JobKey, work: Work, digest: ContentDigest?, options: JobOptions, rawOptions: [UInt8],
    attachedCaps: [AttachedCap], accepted: Monotonic, acceptedUnixMilliseconds: Int64, asker: Asker?,
    content: consuming JobContent
  ) {
    self.key = key
    tenantName = options.tenant
    self.work = work
    self.digest = digest
    self.options = options
    self.rawOptions = rawOptions
    self.attachedCaps = attachedCaps
    self.accepted = accepted
    self.acceptedUnixMilliseconds = acceptedUnixMilliseconds
    self.content = content
    trace = options.traceparent == nil ? nil : JobTrace(options.traceparent, verb: work.verb)
    askers = asker.map { [$0] } ?? []
  }

  /// The job's frames 2, 3 and 4; good for as long as the job lives.
  var id: UnsafeRawBufferPointer { content.id }
  var operand: UnsafeRawBufferPointer { content.operand }
  var body: UnsafeRawBufferPointer { content.body }

  var verb: Verb { work.verb }

  var isCall: Bool {
    if case .call = work { true } else { false }
  }

  /// Whether caps must be in the directory before it runs.
  var needsCaps: Bool { !options.caps.isEmpty || !attachedCaps.isEmpty }

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
  var byteCount: Int { attachedCaps.reduce(content.body.count) { $0 + $1.wire.count } }
}

/// A cap that the host has checked and a sandbox has filed, ready to be stored.
struct FiledCap: Sendable {
  var cap: CheckedCap
  var source: Source

  /// Whose bytes are the cap's wire form.
  enum Source: Sendable {
    case body
    case attached(Int)
  }
}

extension Job {
  /// A filed cap's wire form; good for as long as the job lives.
  func wire(of filed: FiledCap) -> UnsafeRawBufferPointer {
    switch filed.source {
    case .body: body
    case .attached(let index): attachedCaps[index].wire
    }
  }
}
