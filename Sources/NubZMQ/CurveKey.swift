internal import CZeroMQ

/// CURVE keys in libzmq's printable form, Z85 (RFC 32): 32 bytes as 40 characters.
public enum CurveKey {
  /// Characters of a printed key.
  public static let characters = 40
  /// Bytes of a key.
  public static let bytes = 32

  /// The bytes of a printed key; `nil` unless `text` is one.
  public static func decode(_ text: String) -> [UInt8]? {
    // zmq_z85_decode takes what is not in the alphabet for something else, and reads 5 characters at a time.
    guard text.utf8.count == characters, text.utf8.allSatisfy(isDigit) else { return nil }
    var key = [UInt8](repeating: 0, count: bytes)
    guard zmq_z85_decode(&key, text) != nil else { return nil }
    // 5 digits can say more than 4 bytes can hold: only what prints the same again is a key.
    guard encode(key) == text else { return nil }
    return key
  }

  /// The printed form of a key of 32 bytes; `nil` for any other number of them.
  public static func encode(_ key: [UInt8]) -> String? {
    guard key.count == bytes else { return nil }
    var text = [CChar](repeating: 0, count: characters + 1)
    guard zmq_z85_encode(&text, key, bytes) != nil else { return nil }
    return String(decoding: text.prefix(characters).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  /// The public key that belongs to a secret one; `nil` if that is not a key.
  public static func publicKey(ofSecret secret: String) -> String? {
    guard decode(secret) != nil else { return nil }
    var text = [CChar](repeating: 0, count: characters + 1)
    guard zmq_curve_public(&text, secret) == 0 else { return nil }
    return String(decoding: text.prefix(characters).map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
    // RFC 32: . - : + = ^ ! / * ? & < > ( ) [ ] { } @ % $ #
    case 0x2E, 0x2D, 0x3A, 0x2B, 0x3D, 0x5E, 0x21, 0x2F, 0x2A, 0x3F, 0x26, 0x3C, 0x3E, 0x28, 0x29, 0x5B, 0x5D,
      0x7B, 0x7D, 0x40, 0x25, 0x24, 0x23:
      true
    default: false
    }
  }
}
