import CNubGuest

/// One call for a batch.
@unsafe public struct GuestCall {
  /// The function's id.
  public var function: UInt32
  /// Valid until the batch has run.
  public var payload: UnsafeRawBufferPointer
  /// How long the function may run; nil for as long as it likes.
  public var deadline: Duration?

  /// - Parameter payload: borrowed until the batch has run.
  public init(function: UInt32, payload: UnsafeRawBufferPointer, deadline: Duration? = nil) {
    unsafe self.function = function
    unsafe self.payload = unsafe payload
    unsafe self.deadline = deadline
  }
}

/// How one call of a batch ended.
public enum CallOutcome: Sendable {
  /// The function's result.
  case returned([UInt8])
  /// The function's own error. See ``GuestStatus`` for the statuses that nub itself gives.
  case guestError(status: UInt32, detail: [UInt8])
  /// The call did not get to an end. Where ``MachineError/poisons`` says so, the sandbox is done for.
  case failed(MachineError)
  /// An earlier call of the batch took the sandbox with it, or the owner took this call back. It has not begun.
  case notRun
}

/// Statuses that nub's own code in the guest answers with.
public enum GuestStatus {
  /// From here on statuses are nub's.
  public static let firstReserved = NUB_STATUS_FIRST_RESERVED
  /// The image has no function with this id.
  public static let unknownFunction = NUB_STATUS_UNKNOWN_FUNCTION
  /// The detail is n × 32-byte hashes.
  public static let capMissing = NUB_STATUS_CAP_MISSING
  /// A cap of another kind than the function wants, or none.
  public static let capInvalid = NUB_STATUS_CAP_INVALID
  /// Over ``SandboxConfiguration/maximumResult``.
  public static let resultTooLarge = NUB_STATUS_RESULT_TOO_LARGE
  /// The guest's heap does not suffice.
  public static let outOfMemory = NUB_STATUS_OUT_OF_MEMORY
  /// Not what the function takes.
  public static let badPayload = NUB_STATUS_BAD_PAYLOAD
  /// A host function failed; the detail is what it said.
  public static let host = NUB_STATUS_HOST
  /// Not on this engine.
  public static let unsupported = NUB_STATUS_UNSUPPORTED
}
