internal import Logging
internal import NubMachine
internal import Synchronization

/// A port for gdb for each sandbox that there may be. A sandbox stays at its port for as long as it lives, whichever lane runs it,
/// and its successor is found there afterwards.
final class DebuggerPorts: Sendable {
  private let servers: [DebugServer]
  /// The sandbox at each port; nil where there is none, or where it shall not be used again and its successor may come.
  private let sandboxes: Mutex<[UInt64?]>
  private let logger: Logger

  /// - Parameter first: the first of `count` ports in a row; 0 for any free ones.
  init(first: UInt16, count: Int, logger: Logger) throws(MachineError) {
    var servers: [DebugServer] = []
    for index in 0..<count {
      servers.append(try DebugServer(port: first == 0 ? 0 : first + UInt16(index)))
    }
    self.servers = servers
    self.logger = logger
    sandboxes = Mutex(Array(repeating: nil, count: count))
  }

  /// How many sandboxes debuggers can reach at once.
  var count: Int { servers.count }

  /// Finds a port for a sandbox that has none.
  func attach(_ sandbox: inout Sandbox) throws(MachineError) {
    guard !sandbox.hasDebugger else { return }
    let id = sandbox.id
    let place = sandboxes.withLock { sandboxes in
      let free = sandboxes.indices.first { sandboxes[$0] == nil || servers[$0].isVacant }
      if let free { sandboxes[free] = id }
      return free
    }
    guard let place else { return }
    try sandbox.attach(servers[place])
    logger.warning(
      "gdb may attach to a guest",
      metadata: ["endpoint": "127.0.0.1:\(servers[place].port)", "sandbox": "\(id)"])
  }

  /// The sandbox is about to be dropped.
  func release(_ sandbox: UInt64) {
    sandboxes.withLock { sandboxes in
      for place in sandboxes.indices where sandboxes[place] == sandbox { sandboxes[place] = nil }
    }
  }
}
