/// The connections by number, so that the kernel's events find them: an event of one that has gone finds nobody.
struct RelayTable {
  enum Side: UInt64 {
    case peer = 0
    case inner = 1
    case listener = 2
    case wakeup = 3
  }

  private var places: [RelayConnection?] = []
  /// How often each place was taken.
  private var generations: [UInt32] = []
  private var free: [Int] = []
  private(set) var count = 0

  static func tag(_ side: Side, _ place: Int, generation: UInt32 = 0) -> UInt64 {
    UInt64(generation) << 32 | UInt64(place) << 2 | side.rawValue
  }

  static func side(_ tag: UInt64) -> Side { Side(rawValue: tag & 3) ?? .wakeup }
  static func place(_ tag: UInt64) -> Int { Int(tag & 0xffff_ffff) >> 2 }

  func tag(_ side: Side, _ place: Int) -> UInt64 { Self.tag(side, place, generation: generations[place]) }

  mutating func add(_ connection: RelayConnection) -> Int {
    count += 1
    guard let place = free.popLast() else {
      places.append(connection)
      generations.append(0)
      return places.count - 1
    }
    places[place] = connection
    return place
  }

  subscript(place: Int) -> RelayConnection? { places.indices.contains(place) ? places[place] : nil }

  func connection(_ tag: UInt64) -> RelayConnection? {
    let place = Self.place(tag)
    guard places.indices.contains(place), generations[place] == UInt32(tag >> 32) else { return nil }
    return places[place]
  }

  mutating func remove(_ place: Int) {
    guard places[place] != nil else { return }
    places[place] = nil
    generations[place] &+= 1
    free.append(place)
    count -= 1
  }
}
