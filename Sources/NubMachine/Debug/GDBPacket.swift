/// The framing of the gdb remote serial protocol (GDB manual, appendix E.1): `$data#checksum`, acknowledged by `+`.
///
/// A pure value: bytes in, events out. What comes in is a network peer's, so lengths are bounded and nothing traps.
struct GDBPacketParser: Equatable {
  enum Event: Equatable {
    /// A packet, unescaped.
    case packet([UInt8])
    /// A packet that does not match its checksum; to be answered with `-`.
    case damaged
    /// Ctrl-C: byte 0x03 outside a packet.
    case interrupt
  }

  /// The largest packet that is taken; qSupported announces it.
  static let maximum = 16 << 10

  private enum State: Equatable {
    case idle
    case data
    case escape
    case checksum
    case checksumLow(UInt8?)
  }

  private var state = State.idle
  private var bytes: [UInt8] = []
  private var sum: UInt8 = 0
  private var isTooLong = false

  /// Takes one byte.
  mutating func take(_ byte: UInt8) -> Event? {
    switch state {
    case .idle:
      if byte == 0x03 { return .interrupt }
      if byte == UInt8(ascii: "$") { begin() }
      return nil
    case .data:
      switch byte {
      case UInt8(ascii: "#"): state = .checksum
      // A new packet begins: the old one was cut off.
      case UInt8(ascii: "$"): begin()
      case UInt8(ascii: "}"):
        sum &+= byte
        state = .escape
      default: append(byte, byte)
      }
      return nil
    case .escape:
      append(byte ^ 0x20, byte)
      state = .data
      return nil
    case .checksum:
      state = .checksumLow(Hexadecimal.value(byte))
      return nil
    case .checksumLow(let high):
      state = .idle
      guard !isTooLong, let high, let low = Hexadecimal.value(byte), high << 4 | low == sum else {
        return .damaged
      }
      return .packet(bytes)
    }
  }

  private mutating func begin() {
    state = .data
    bytes.removeAll(keepingCapacity: true)
    sum = 0
    isTooLong = false
  }

  private mutating func append(_ byte: UInt8, _ raw: UInt8) {
    sum &+= raw
    if bytes.count < GDBPacketParser.maximum { bytes.append(byte) } else { isTooLong = true }
  }

  /// A packet around `data`.
  static func encode(_ data: [UInt8]) -> [UInt8] {
    var packet = [UInt8(ascii: "$")]
    packet.reserveCapacity(data.count + 4)
    for byte in data {
      switch byte {
      case UInt8(ascii: "$"), UInt8(ascii: "#"), UInt8(ascii: "}"), UInt8(ascii: "*"):
        packet += [UInt8(ascii: "}"), byte ^ 0x20]
      default: packet.append(byte)
      }
    }
    let sum = packet.dropFirst().reduce(0 as UInt8, &+)
    packet.append(UInt8(ascii: "#"))
    packet += Hexadecimal.encode([sum])
    return packet
  }
}

/// Hexadecimal digits, two for each byte.
enum Hexadecimal {
  static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  }

  /// Nil for an odd number of digits, or what is none.
  static func decode(_ digits: some Collection<UInt8>) -> [UInt8]? {
    guard digits.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    var high: UInt8?
    for digit in digits {
      guard let value = value(digit) else { return nil }
      if let first = high {
        bytes.append(first << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return bytes
  }

  /// A number in big-endian digits, as addresses and lengths are written. Nil where it is none or over 64 bits.
  static func number(_ digits: some Collection<UInt8>) -> UInt64? {
    guard !digits.isEmpty, digits.count <= 16 else { return nil }
    var number: UInt64 = 0
    for digit in digits {
      guard let value = value(digit) else { return nil }
      number = number << 4 | UInt64(value)
    }
    return number
  }
}
