import NubStore

extension JobIDText {
  /// The ids that a text may be, the likeliest first: what it says, or hexadecimal digits without `0x`, as the store's views print ids.
  static func readings(_ text: String) -> [[UInt8]] {
    let first = decode(text)
    guard !text.hasPrefix("0x"), let bytes = Hex.decode(text), (1...64).contains(bytes.count) else {
      return [first]
    }
    return [first, bytes]
  }
}

extension SQLiteQueries {
  /// The finished jobs that a text names: of one id, and of one tenant or all.
  ///
  /// - Throws: ``CommandFailure`` where there is none, and why that may be.
  func jobs(named text: String, tenant: String?) throws -> [ResultDetail] {
    let ids = JobIDText.readings(text)
    for id in ids {
      let found = try result(jobID: id, tenant: tenant)
      if !found.isEmpty { return found }
    }
    let isQueued = try ids.contains { try isQueuedAgain(jobID: $0) }
    throw CommandFailure("there is no finished job \(text)\(isQueued ? ": it is queued to run again" : "")")
  }
}
