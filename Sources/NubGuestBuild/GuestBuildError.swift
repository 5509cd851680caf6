/// Why an image could not be built.
public struct GuestBuildError: Error, CustomStringConvertible {
  public enum Code: Sendable {
    /// A compiler or the linker is not there or cannot be run.
    case toolMissing
    /// A file cannot be read or written, or there is nothing to build.
    case files
    /// A compiler or the linker refused the sources; the cause is what it said.
    case compile
    /// Function names or ids that do not fit together.
    case functions
  }
  public var code: Code
  public var message: String
  /// What the tool or the system said.
  public var cause: String?
  /// What an author can do about it, where that is known.
  public var hint: String?

  public init(_ code: Code, _ message: String, cause: String? = nil, hint: String? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
    self.hint = hint
  }

  public var description: String {
    [message, cause, hint.map { "hint: \($0)" }].compactMap { $0 }.joined(separator: "\n")
  }
}
