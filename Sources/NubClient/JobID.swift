internal import Glibc

/// The name of a job: 1 to 64 bytes that its producer chose.
public struct JobID: Hashable, Sendable, CustomStringConvertible {
  public let bytes: [UInt8]

  /// `nil` unless there are 1 to 64 bytes.
  public init?(_ bytes: [UInt8]) {
    guard (1...64).contains(bytes.count) else { return nil }
    self.bytes = bytes
  }

  /// A new UUIDv7 (RFC 9562, section 5.7): ids of one process ascend with time, which keeps the store's index fast.
  public init() {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    let milliseconds = UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
    // The twelve bits after the version hold the fraction of the millisecond (RFC 9562, section 6.2, method 3).
    let fraction = UInt64(now.tv_nsec) % 1_000_000 * 4096 / 1_000_000
    let high = milliseconds << 16 | 0x7000 | fraction
    let low = UInt64.random(in: 0...UInt64.max) & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
    bytes = [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in
      for index in 0..<8 {
        buffer[index] = UInt8(truncatingIfNeeded: high >> (56 - 8 * UInt64(index)))
        buffer[index + 8] = UInt8(truncatingIfNeeded: low >> (56 - 8 * UInt64(index)))
      }
      count = 16
    }
  }

  /// For bytes that were checked already.
  init(unchecked bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// The bytes in hex.
  public var description: String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }
}
