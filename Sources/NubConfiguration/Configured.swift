/// A configuration, and where each value came from.
public struct Configured<Root: Configurable>: Sendable {
  public struct Entry: Sendable, Equatable {
    public let key: String
    /// Nil where nothing is set.
    public let value: SettingValue?
    public let source: SettingSource
  }

  public var root: Root
  public let entries: [Entry]
}

/// Where a value came from; the first that has one wins, in this order.
public enum SettingSource: Sendable, Equatable, CustomStringConvertible {
  case flag(String)
  case environment(String)
  case file(String, key: String)
  case `default`

  public var description: String {
    switch self {
    case .flag(let flag): "flag \(flag)"
    case .environment(let name): "environment \(name)"
    case .file(let path, let key): "file \(path), \"\(key)\""
    case .default: "default"
    }
  }
}
