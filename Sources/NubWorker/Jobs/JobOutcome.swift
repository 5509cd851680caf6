internal import NubStore

/// How a job ended.
struct JobOutcome: Sendable {
  var status: Status
  /// The function's result, or for an error the text for the producer.
  var body: [UInt8] = []
  var guestStatus: UInt32?
  var retryAfterMilliseconds: UInt32?
  /// Of a put: how many of the caps that it refers to the store does not have; nil for none.
  var missingReferences: UInt32?
  /// Of a put: whether the store had the cap, so that nothing was done.
  var wasKnown = false
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

/// A result that is in the store, as much of it as a reply needs.
struct RecordedResult: Sendable {
  var digest: ContentDigest
  var status: Status
  var body: [UInt8]
  var worker: WorkerID
  var engine: String
  var sandbox: UInt64
  var attempt: UInt32
  var guestStatus: UInt32?
  var queuedMicroseconds: UInt64
  var runMicroseconds: UInt64

  /// Copies what is good during a call of the store only.
  init(_ job: borrowing RecordedJob) {
    digest = job.digest
    status = Status(rawValue: job.status) ?? .internal
    body = [UInt8](job.body)
    worker = job.worker
    engine = job.engine?.name ?? "unknown"
    sandbox = job.sandbox
    attempt = job.attempts
    guestStatus = job.guestStatus
    queuedMicroseconds = job.queuedMicroseconds
    runMicroseconds = job.runMicroseconds
  }
}
