/// Why keys, their files or an endpoint were refused.
public struct SecurityError: Error, Sendable, CustomStringConvertible {
  public enum Code: Sendable, Hashable {
    /// A file or directory cannot be read or written.
    case file
    /// A file is not what it should be, or a value in it is not.
    case malformed
    /// Others may read or change what is secret.
    case exposed
    /// A plaintext endpoint that other machines can reach.
    case plaintext
    /// A thread, a descriptor or a socket could not be had.
    case resources
  }

  public let code: Code
  /// For the operator: what, where, and what to do about it. Never holds a secret.
  public let message: String
  public let cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
