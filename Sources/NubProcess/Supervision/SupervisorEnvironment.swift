/// What a service manager left in the environment: where it listens, and how often it wants to hear.
struct SupervisorEnvironment: Equatable {
  /// Bytes for sun_path: a path, or a name in the abstract namespace with 0 in front.
  var address: [UInt8]
  /// Microseconds, where a watchdog waits for this process.
  var watchdog: UInt64?

  static let variables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

  /// Nil where nobody listens.
  ///
  /// - Throws: for an address of a kind that is unknown here; a manager that waits in vain kills what it started.
  init?(_ environment: [String: String], process: Int32) throws(ProcessError) {
    guard let socket = environment["NOTIFY_SOCKET"], !socket.isEmpty else { return nil }
    var bytes = Array(socket.utf8)
    switch bytes[0] {
    case UInt8(ascii: "/"): break
    case UInt8(ascii: "@"): bytes[0] = 0
    default:
      throw ProcessError(
        .configuration,
        "NOTIFY_SOCKET is \"\(socket.prefix(80))\": neither a path nor an abstract name (@...)")
    }
    // unix(7): sun_path has 108 bytes.
    guard (2...108).contains(bytes.count) else {
      throw ProcessError(.configuration, "NOTIFY_SOCKET has \(bytes.count) bytes; 2 to 108 are allowed")
    }
    address = bytes
    let isMeant = environment["WATCHDOG_PID"].map { $0 == "\(process)" } ?? true
    if isMeant, let text = environment["WATCHDOG_USEC"] {
      guard let microseconds = UInt64(text), microseconds > 0 else {
        throw ProcessError(
          .configuration, "WATCHDOG_USEC is \"\(text.prefix(40))\", not a number of microseconds")
      }
      watchdog = microseconds
    }
  }
}
