/// Why a file cannot be used as an ELF file.
public struct ELFError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    case notELF
    /// Another word size, byte order, processor or file type.
    case foreign
    case truncated
    case malformed
  }
  public var code: Code
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
