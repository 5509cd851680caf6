/// Why a configuration is refused; the message names the setting and where its value came from.
public struct SettingError: Error, Equatable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// A name that no command knows.
    case unknownName
    /// A value of another type, or out of range.
    case badValue
    /// The file cannot be read or is not JSON.
    case unreadableFile
  }

  public let code: Code
  public let message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
