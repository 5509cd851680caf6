/// Decides which threads are stuck, from looks at their pulses: a value without threads and clocks.
///
/// A thread is stuck when it has work and has made no step for as long as one step may take. Only time that was seen to pass
/// counts, a tick at most between two looks: a process that was stopped (SIGSTOP, a machine that was suspended) has lost time, not
/// come to a halt.
struct ProgressJudge {
  /// What is watched.
  struct Part {
    var name: String
    /// The longest that a step may take, milliseconds.
    var patience: UInt64
    var reading: UInt64 = 0
    /// For how long the reading has not changed.
    var unchanged: UInt64 = 0

    init(name: String, patience: UInt64) {
      self.name = name
      self.patience = patience
    }

    var hasWork: Bool { reading & 1 == 1 }
    var isStuck: Bool { hasWork && unchanged >= patience }
  }

  private(set) var parts: [Part]
  /// What passes between two looks at most, milliseconds.
  let tick: UInt64

  init(parts: [Part], tick: UInt64) {
    self.parts = parts
    self.tick = tick
  }

  /// - Parameters:
  ///   - readings: in the order of the parts.
  ///   - elapsed: milliseconds since the look before.
  /// - Returns: the names of those that are stuck.
  mutating func look(_ readings: [UInt64], elapsed: UInt64) -> [String] {
    for (index, reading) in readings.enumerated() where parts.indices.contains(index) {
      if parts[index].reading != reading {
        parts[index].reading = reading
        parts[index].unchanged = 0
      } else {
        parts[index].unchanged += min(elapsed, tick)
      }
    }
    return parts.filter(\.isStuck).map(\.name)
  }
}
