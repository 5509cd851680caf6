internal import Glibc

/// Why a process cannot be confined, or cannot talk to its service manager.
public struct ProcessError: Error, Sendable, CustomStringConvertible {
  public enum Code: Sendable, Hashable {
    /// What was asked for makes no sense here; the message names it.
    case configuration
    /// A user or a group is not known.
    case unknownUser
    /// The kernel refused.
    case system
  }

  public let code: Code
  /// What went wrong, in words the operator can act on.
  public let message: String
  /// errno, or 0.
  public let number: Int32

  init(_ code: Code, _ message: String, errno number: Int32 = 0) {
    self.code = code
    self.message = number == 0 ? message : "\(message): \(String(cString: strerror(number)))"
    self.number = number
  }

  public var description: String { message }

  /// Turns the -errno of a system call into an error.
  @discardableResult
  static func check(_ result: Int32, _ what: @autoclosure () -> String) throws(ProcessError) -> Int32 {
    guard result < 0 else { return result }
    throw ProcessError(.system, what(), errno: -result)
  }
}
