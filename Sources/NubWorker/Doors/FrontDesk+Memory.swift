internal import Logging
internal import NubSecurity
internal import NubZMQ

/// What is done about memory that peers make the process hold.
extension FrontDesk {
  /// Looks at resident memory; over its limit, gives back what can be had: first the direct doors, whose askers ask again, then the
  /// pipelines, where messages that were not pulled yet are lost like at a crash.
  func guardMemory(_ now: Monotonic) throws(ZMQError) {
    guard memory.limit > 0 else { return }
    switch memory.look(resident: ProcessMemory.resident, at: now.microseconds / 1_000) {
    case .nothing: break
    case .trim: ProcessMemory.trim()
    case .reopen(let stage):
      try reopen(stage == 0 ? .direct : .pipeline)
    case .giveUp:
      parts.logger.error(
        "resident memory stays over its limit; it is not the doors that hold it",
        metadata: ["bytes": "\(ProcessMemory.resident)", "limit": "\(memory.limit)"])
    }
  }

  private func reopen(_ kind: Door.Kind) throws(ZMQError) {
    for door in parts.doors where door.kind == kind && door.recipe != nil {
      parts.logger.warning(
        "resident memory is over its limit: a door is closed and opened again",
        metadata: [
          "door": "\(door.index + 1)", "bytes": "\(ProcessMemory.resident)", "limit": "\(memory.limit)",
        ])
      if kind == .direct { dropUnsent(door) }
      try door.reopen(&poller)
      metrics.reopened()
    }
    ProcessMemory.trim()
  }
}
