// Stands for swift-log where the fuzz targets are built: what is logged goes nowhere.
public struct Logger: Sendable {
  public enum Level: String, Sendable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
  }

  public typealias Metadata = [String: String]

  public init(label: String) {}

  public func debug(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
  public func info(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
  public func notice(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
  public func warning(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
  public func error(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
  public func critical(_ text: @autoclosure () -> String, metadata: @autoclosure () -> Metadata? = nil) {}
}
