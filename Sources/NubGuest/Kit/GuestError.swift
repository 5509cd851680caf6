public import CNubGuest

/// Why a guest function could not answer: a status other than 0, and a message for the producer.
public struct GuestError: Error {
  public var status: UInt32
  public var message: StaticString

  /// - Parameter status: 1 to 0xFFFFFEFF; what lies above is nub's own.
  public init(status: UInt32, message: StaticString) {
    self.status = status
    self.message = message
  }

  public static var resultTooLarge: GuestError {
    GuestError(status: NUB_STATUS_RESULT_TOO_LARGE, message: "the result is over the limit")
  }
  public static var outOfMemory: GuestError {
    GuestError(status: NUB_STATUS_OUT_OF_MEMORY, message: "the guest's memory does not suffice")
  }
  public static func badPayload(_ message: StaticString) -> GuestError {
    GuestError(status: NUB_STATUS_BAD_PAYLOAD, message: message)
  }
  public static func unsupported(_ message: StaticString) -> GuestError {
    GuestError(status: NUB_STATUS_UNSUPPORTED, message: message)
  }
  /// The output already holds what the caller needs, such as the hashes of missing caps.
  static func answered(_ status: UInt32) -> GuestError { GuestError(status: status, message: "") }
}
