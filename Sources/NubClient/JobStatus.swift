/// The status of a reply, as the protocol numbers them.
public struct JobStatus: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let ok = JobStatus(rawValue: 0)
  public static let badRequest = JobStatus(rawValue: 1)
  public static let unknownFunction = JobStatus(rawValue: 2)
  public static let guestError = JobStatus(rawValue: 3)
  public static let guestFault = JobStatus(rawValue: 4)
  public static let deadlineExceeded = JobStatus(rawValue: 5)
  public static let cancelled = JobStatus(rawValue: 6)
  public static let capMissing = JobStatus(rawValue: 7)
  public static let capInvalid = JobStatus(rawValue: 8)
  public static let hashMismatch = JobStatus(rawValue: 9)
  public static let tooLarge = JobStatus(rawValue: 10)
  public static let unavailable = JobStatus(rawValue: 11)
  public static let conflict = JobStatus(rawValue: 12)
  public static let quarantined = JobStatus(rawValue: 13)
  public static let unauthorized = JobStatus(rawValue: 14)
  public static let `internal` = JobStatus(rawValue: 15)
  public static let notFound = JobStatus(rawValue: 16)

  private static let names = [
    "ok", "bad_request", "unknown_function", "guest_error", "guest_fault", "deadline_exceeded", "cancelled",
    "cap_missing", "cap_invalid", "hash_mismatch", "too_large", "unavailable", "conflict", "quarantined",
    "unauthorized", "internal", "not_found",
  ]

  /// The protocol's name, for example `guest_error`.
  public var description: String {
    rawValue < UInt32(Self.names.count) ? Self.names[Int(rawValue)] : "status \(rawValue)"
  }
}
