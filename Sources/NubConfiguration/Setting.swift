/// Everything that is known of one setting, said once: its name as a flag, in the environment and in a file, what it may be, what it
/// is by default, and what it is for.
///
/// One name serves all three: `max-run` is `--max-run`, `NUB_MAX_RUN` and `"max-run"` in the file.
public struct Setting<Root: Configurable>: Sendable {
  /// What is written for it.
  public enum Shape: Sendable, Equatable {
    case text
    case integer
    /// `--name` and `--no-name`.
    case flag
    /// A flag that may be repeated; commas in the environment, an array in the file.
    case list
  }

  /// What completes it in a shell.
  public enum Completion: Sendable {
    case none, file, directory
    case words([String])
  }

  public let key: String
  public let shape: Shape
  /// What stands for the value in the help.
  public let valueName: String?
  public let help: String
  public let completion: Completion
  /// Said in place of the default value, where that depends on the machine.
  let defaultText: String?
  let read: @Sendable (Root) -> SettingValue?
  let write: @Sendable (SettingValue, inout Root) throws(Complaint) -> Void

  public var flag: String { "--\(key)" }
  public var environment: String { Self.environment(for: key) }

  static func environment(for key: String) -> String {
    "NUB_" + key.uppercased().replacing("-", with: "_")
  }

  /// The default, as the help says it; nil for nothing.
  public var defaultDescription: String? {
    if let defaultText { return defaultText }
    guard let value = read(Root()) else { return nil }
    let text = value.description
    return text.isEmpty || value == .flag(false) ? nil : text
  }
}

/// What a setting can be.
public enum SettingValue: Sendable, Equatable, CustomStringConvertible {
  case text(String)
  case integer(Int)
  case flag(Bool)
  case list([String])

  public var description: String {
    switch self {
    case .text(let text): text
    case .integer(let number): String(number)
    case .flag(let isOn): isOn ? "true" : "false"
    case .list(let texts): texts.joined(separator: ",")
    }
  }
}

/// What is wrong with a value: "is 0; 1 to 64 are allowed".
struct Complaint: Error {
  let text: String
}

/// Something that settings fill. Its initial values are the defaults.
public protocol Configurable: Sendable {
  init()
  static var settings: [Setting<Self>] { get }
}
