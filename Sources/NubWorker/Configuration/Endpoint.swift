/// Where a socket binds or connects: a ZeroMQ endpoint, with `@` in front to bind or `>` to connect where the door's habit is the
/// other.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
  public enum Attachment: Sendable, Hashable {
    case bind
    case connect
  }

  /// As libzmq takes it: `tcp://127.0.0.1:7700`, `ipc:///run/nub/jobs`, `inproc://name`.
  public var address: String
  public var attachment: Attachment

  public init(_ address: String, _ attachment: Attachment) {
    self.address = address
    self.attachment = attachment
  }

  /// Reads `address`, `@address` or `>address`.
  ///
  /// - Throws: ``WorkerError`` with code `configuration` for anything but `tcp://`, `ipc://` and `inproc://`.
  public init(parsing text: String, default attachment: Attachment) throws(WorkerError) {
    var address = text
    self.attachment = attachment
    if text.hasPrefix("@") || text.hasPrefix(">") {
      self.attachment = text.hasPrefix("@") ? .bind : .connect
      address.removeFirst()
    } else if text.hasSuffix(":*") || text.contains("://*") {
      // A wildcard can only be bound.
      self.attachment = .bind
    }
    let transports = ["tcp://", "ipc://", "inproc://"]
    guard let transport = transports.first(where: { address.hasPrefix($0) }), address.count > transport.count
    else {
      throw WorkerError(
        .configuration,
        "\"\(text)\" is not an endpoint: expected tcp://HOST:PORT or ipc://PATH")
    }
    if transport == "tcp://" { try Endpoint.checkPort(of: address.dropFirst(transport.count), in: text) }
    self.address = address
  }

  /// libzmq takes a port modulo 65536, and so would serve somewhere else than it was told.
  ///
  /// - Parameter address: what is behind `tcp://`.
  private static func checkPort(of address: Substring, in text: String) throws(WorkerError) {
    // Behind the last colon, and that one not in an IPv6 address.
    guard !address.hasSuffix("]"), let colon = address.lastIndex(of: ":") else {
      throw WorkerError(.configuration, "\(text) has no port: expected tcp://HOST:PORT")
    }
    let port = address[address.index(after: colon)...]
    if port == "*" { return }
    guard UInt16(port) != nil, port.first != "+" else {
      throw WorkerError(.configuration, "\(text) has the port \"\(port)\"; 0 to 65535, or *, is allowed")
    }
  }

  public var description: String { (attachment == .bind ? "@" : ">") + address }
}
