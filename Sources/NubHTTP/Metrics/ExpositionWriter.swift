/// Writes Prometheus' text format 0.0.4. A family's samples must come one after the other, so they are gathered by family and written
/// at the end, in the order of their names.
public struct ExpositionWriter {
  public enum Kind: String, Sendable {
    case counter, gauge, histogram, untyped
  }

  /// What HTTP calls this format.
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private struct Family {
    var kind: Kind
    var lines: [String] = []
  }

  private var families: [String: Family] = [:]

  public init() {}

  public mutating func counter(_ name: String, _ value: some BinaryInteger, _ labels: [(String, String)] = [])
  {
    sample(name, .counter, "", labels, "\(value)")
  }

  public mutating func counter(_ name: String, _ value: Double, _ labels: [(String, String)] = []) {
    sample(name, .counter, "", labels, Self.number(value))
  }

  public mutating func gauge(_ name: String, _ value: some BinaryInteger, _ labels: [(String, String)] = []) {
    sample(name, .gauge, "", labels, "\(value)")
  }

  public mutating func gauge(_ name: String, _ value: Double, _ labels: [(String, String)] = []) {
    sample(name, .gauge, "", labels, Self.number(value))
  }

  /// - Parameter divisor: how many of the instrument's units are one of the metric's: 1e9 for nanoseconds shown as seconds.
  mutating func histogram(
    _ name: String, _ labels: [(String, String)], _ instrument: HistogramInstrument, divisor: Double
  ) {
    let snapshot = instrument.snapshot
    for (bound, count) in zip(instrument.bounds, snapshot.cumulative) {
      let limit = Self.number(Double(bound) / divisor)
      sample(name, .histogram, "_bucket", labels + [("le", limit)], "\(count)")
    }
    sample(name, .histogram, "_bucket", labels + [("le", "+Inf")], "\(snapshot.total)")
    sample(
      name, .histogram, "_sum", labels,
      Self.number(Double(snapshot.sum) / divisor))
    sample(name, .histogram, "_count", labels, "\(snapshot.total)")
  }

  private mutating func sample(
    _ name: String, _ kind: Kind, _ suffix: String, _ labels: [(String, String)], _ value: String
  ) {
    let name = Self.name(name)
    var line = name + suffix
    if !labels.isEmpty {
      line += "{" + labels.map { "\(Self.name($0.0))=\"\(Self.escaped($0.1))\"" }.joined(separator: ",") + "}"
    }
    families[name, default: Family(kind: kind)].lines.append("\(line) \(value)\n")
  }

  public var text: String {
    var text = ""
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      if let entry = MetricCatalog.entry(name) {
        text += "# HELP \(name) \(entry.help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n"
      }
      text += "# TYPE \(name) \(family.kind.rawValue)\n"
      for line in family.lines { text += line }
    }
    return text
  }

  /// Whole numbers without a fraction, others in the shortest form that reads back the same.
  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
    return "\(value)"
  }

  /// Letters, digits, underscores and colons, no digit first: whatever else a label had becomes an underscore.
  static func name(_ text: String) -> String {
    var bytes = text.utf8.map { byte -> UInt8 in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: ":"):
        byte
      default: UInt8(ascii: "_")
      }
    }
    if bytes.first.map({ (48...57).contains($0) }) ?? true { bytes.insert(UInt8(ascii: "_"), at: 0) }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func escaped(_ value: String) -> String {
    var text = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
