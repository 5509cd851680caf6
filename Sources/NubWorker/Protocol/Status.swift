/// The status of a reply: the table of the job protocol.
public enum Status: UInt32, Sendable, CaseIterable {
  case ok = 0
  /// Wrong frames, verb, sizes or options.
  case badRequest = 1
  case unknownFunction = 2
  /// The function returned an error, or a result over the limit.
  case guestError = 3
  /// Exception, abort or broken protocol inside the VM, twice.
  case guestFault = 4
  /// Ran too long, or expired before it started.
  case deadlineExceeded = 5
  case cancelled = 6
  /// The body names the missing caps, 32 bytes each.
  case capMissing = 7
  /// Does not decode, or breaks a rule of the cap schema.
  case capInvalid = 8
  /// The claimed hash is not the hash.
  case hashMismatch = 9
  case tooLarge = 10
  /// Overloaded, draining, or running elsewhere: send it again after `retry_after_ms`.
  case unavailable = 11
  /// This job id was used with other content.
  case conflict = 12
  /// The worker died three times while running it alone.
  case quarantined = 13
  case unauthorized = 14
  case `internal` = 15
  /// Unknown to this tenant.
  case notFound = 16

  /// The protocol's name of the status, as metrics and views show it.
  public var name: String {
    switch self {
    case .ok: "ok"
    case .badRequest: "bad_request"
    case .unknownFunction: "unknown_function"
    case .guestError: "guest_error"
    case .guestFault: "guest_fault"
    case .deadlineExceeded: "deadline_exceeded"
    case .cancelled: "cancelled"
    case .capMissing: "cap_missing"
    case .capInvalid: "cap_invalid"
    case .hashMismatch: "hash_mismatch"
    case .tooLarge: "too_large"
    case .unavailable: "unavailable"
    case .conflict: "conflict"
    case .quarantined: "quarantined"
    case .unauthorized: "unauthorized"
    case .internal: "internal"
    case .notFound: "not_found"
    }
  }

  /// Whether a `call` that ended so is remembered and never run again.
  public var isRecorded: Bool {
    switch self {
    case .ok, .guestError, .guestFault, .deadlineExceeded, .cancelled, .quarantined: true
    case .badRequest, .unknownFunction, .capMissing, .capInvalid, .hashMismatch, .tooLarge, .unavailable,
      .conflict, .unauthorized, .internal, .notFound:
      false
    }
  }
}
