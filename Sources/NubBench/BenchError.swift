/// Why a figure could not be measured.
public struct BenchError: Error, CustomStringConvertible {
  public enum Code: Sendable {
    /// A name, path or number in the command line makes no sense.
    case usage
    /// A process that takes part did not start, died, or answered something else than its figures.
    case process
    /// The work came back wrong: a speed without its result is no figure.
    case wrongResult
    /// The machine, or a layer of nub, refused.
    case unavailable
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
