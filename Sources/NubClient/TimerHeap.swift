/// A binary heap of moments, earliest first. An entry may be out of date: its owner looks when it comes up.
struct TimerHeap: Sendable {
  struct Entry: Sendable {
    var time: ContinuousClock.Instant
    var id: [UInt8]
  }

  private var entries: [Entry] = []

  var earliest: ContinuousClock.Instant? { entries.first?.time }

  mutating func insert(_ time: ContinuousClock.Instant, _ id: [UInt8]) {
    entries.append(Entry(time: time, id: id))
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard entries[child].time < entries[parent].time else { break }
      entries.swapAt(child, parent)
      child = parent
    }
  }

  /// Takes the earliest entry out if its moment has come.
  mutating func popDue(_ now: ContinuousClock.Instant) -> [UInt8]? {
    guard let first = entries.first, first.time <= now else { return nil }
    let last = entries.removeLast()
    guard !entries.isEmpty else { return first.id }
    entries[0] = last
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
        if entries[child].time < entries[smallest].time { smallest = child }
      }
      if smallest == parent { return first.id }
      entries.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
