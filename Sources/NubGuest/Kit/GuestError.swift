import CNubGuest

/// Why a guest function could not answer: a status other than 0, and a message for the producer.
public struct GuestError: Error {
  /// What the message is made of. A literal costs no memory, which matters when memory is what ran out.
  public enum Message: Sendable {
    case literal(StaticString)
    case composed(String)
  }

  /// Not 0.
  public var status: UInt32
  /// What the producer reads.
  public var message: Message

  /// - Parameter status: 1 to 0xFFFFFEFF; what lies above is nub's own.
  public init(status: UInt32, message: StaticString) {
    self.status = status
    self.message = .literal(message)
  }

  /// An error whose message is put together while the function runs: `GuestError(status: 4, text: "line \(number) is empty")`.
  /// - Parameter status: 1 to 0xFFFFFEFF; what lies above is nub's own.
  public init(status: UInt32, text: String) {
    self.status = status
    self.message = .composed(text)
  }

  /// The result is over the limit; what ``GuestCall/write(_:)`` and ``GuestCall/reserve(_:)`` throw.
  public static var resultTooLarge: GuestError {
    GuestError(status: NUB_STATUS_RESULT_TOO_LARGE, message: "the result is over the limit")
  }
  /// An allocation failed.
  public static var outOfMemory: GuestError {
    GuestError(status: NUB_STATUS_OUT_OF_MEMORY, message: "the guest's memory does not suffice")
  }
  /// The payload is not what the function documents.
  public static func badPayload(_ message: StaticString) -> GuestError {
    GuestError(status: NUB_STATUS_BAD_PAYLOAD, message: message)
  }
  /// Not on this engine.
  public static func unsupported(_ message: StaticString) -> GuestError {
    GuestError(status: NUB_STATUS_UNSUPPORTED, message: message)
  }
  /// The output already holds what the caller needs, such as the hashes of missing caps.
  static func answered(_ status: UInt32) -> GuestError { GuestError(status: status, message: "") }

  /// Makes this error the answer of a call.
  func answer(_ frame: UnsafeMutablePointer<nub_call>) -> UInt32 {
    switch message {
    case .literal(let text):
      if text.utf8CodeUnitCount == 0 { return status }
      return nub_fail(frame, status, text.utf8Start, text.utf8CodeUnitCount)
    case .composed(let text):
      return text.utf8.span.withUnsafeBufferPointer { nub_fail(frame, status, $0.baseAddress, $0.count) }
    }
  }
}
