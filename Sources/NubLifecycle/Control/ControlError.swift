/// Why a worker cannot be controlled, in words for its operator.
public struct ControlError: Error, CustomStringConvertible, Sendable {
  public enum Code: Sendable, Hashable {
    /// The socket's place is not the user's alone, or cannot be used.
    case place
    /// Another worker listens there.
    case taken
    /// Nobody listens.
    case nobody
    /// There are several workers, and it was not said which.
    case ambiguous
    /// It did not answer, or not in words that are known.
    case answer
  }

  public let code: Code
  public let message: String
  public let cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
