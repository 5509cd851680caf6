import Glibc

/// Job ids of 16 bytes, each used once.
struct JobIDs {
  enum Order: String, Sendable {
    /// UUIDv7 with a counter (RFC 9562, 5.7 and 6.2): time-ordered.
    case ordered
    /// Random bytes: every id falls somewhere else in the store's index.
    case random
  }

  private let order: Order
  private var counter: UInt64 = 0
  private var state: UInt64
  private var milliseconds: UInt64 = 0

  init(_ order: Order) {
    self.order = order
    state = .random(in: 1 ... .max)
    refreshTime()
  }

  /// Writes the next id.
  @inline(__always)
  mutating func next(into id: UnsafeMutableRawBufferPointer) {
    // xorshift64 (Marsaglia 2003): cheap, and good enough to spread ids.
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    switch order {
    case .ordered:
      // The clock is read now and then; the counter keeps the order in between.
      if counter & 63 == 0 { refreshTime() }
      counter &+= 1
      let high = milliseconds << 16 | 0x7000 | (counter >> 20 & 0xfff)
      let low = 0x8000_0000_0000_0000 | (counter & 0xf_ffff) << 40 | (state & 0xff_ffff_ffff)
      id.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
      id.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    case .random:
      counter &+= 1
      id.storeBytes(of: state, toByteOffset: 0, as: UInt64.self)
      // The counter, spread by an odd multiplier, makes sure that no id comes twice.
      id.storeBytes(of: counter &* 0x9e37_79b9_7f4a_7c15, toByteOffset: 8, as: UInt64.self)
    }
  }

  private mutating func refreshTime() {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    milliseconds = UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
  }
}
