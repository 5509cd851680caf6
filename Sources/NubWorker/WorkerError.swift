/// Why a worker could not start or had to stop.
public struct WorkerError: Error, Sendable, CustomStringConvertible {
  public enum Code: Sendable, Hashable {
    /// An option has a value that cannot work; the message names it.
    case configuration
    /// A socket could not be bound, connected or used.
    case transport
    /// The result store could not be opened or written.
    case store
    /// No sandbox could be created.
    case engine
    /// Threads, memory or file descriptors.
    case systemResources
  }

  public let code: Code
  /// What went wrong, in words the operator can act on.
  public let message: String
  public let cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String {
    // A message that is the cause's own says everything once.
    guard let cause, !message.hasSuffix("\(cause)") else { return message }
    return "\(message): \(cause)"
  }
}
