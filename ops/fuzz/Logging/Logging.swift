// Stands for swift-log where the fuzz targets are built: the sources that they take in use the levels' names alone.
public struct Logger: Sendable {
  public enum Level: String, Sendable, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
  }
}
