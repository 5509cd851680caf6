internal import NubJSON

/// What a broker reads of a job's options frame: strictly one JSON object, by the scanner that workers use, because a text that broker
/// and worker understood differently would let a producer name another's tenant.
struct BrokerOptions {
  /// Bytes of an options frame, by the job protocol.
  static let maximumBytes = 64 << 10

  private(set) var tenant: [UInt8]?
  /// 0 to 9, 5 unless said.
  private(set) var priority: UInt8 = 5
  private(set) var expiresAtMilliseconds: UInt64?
  /// Whether the object has no members, which matters to whoever adds one.
  private(set) var isEmpty = true
  /// The position of the object's `{`.
  private(set) var start = 0

  init() {}

  /// Reads `bytes`, which are looked at during this call alone. No bytes at all are no options.
  init(_ bytes: UnsafeRawBufferPointer) throws(JSONError) {
    guard bytes.count <= Self.maximumBytes else { throw JSONError("more than 65536 bytes") }
    if bytes.isEmpty { return }
    // Nothing but space may stand in front of it.
    start = bytes.firstIndex(of: UInt8(ascii: "{")) ?? 0
    let bytes = bytes.bytes
    var scanner = JSONScanner()
    var seen: Set<[UInt8]> = []
    try scanner.object(in: bytes) { (scanner) throws(JSONError) in
      isEmpty = false
      var key: [UInt8] = []
      try scanner.key(in: bytes) { key.append(contentsOf: $0) }
      guard Key.all.contains(key) else { return try scanner.skipValue(in: bytes, depth: 1) }
      // Two readers that pick different ones of two would not agree.
      guard seen.insert(key).inserted else {
        throw JSONError("\"\(String(decoding: key, as: UTF8.self))\" occurs twice")
      }
      try read(key, &scanner, bytes)
    }
  }

  private mutating func read(
    _ key: [UInt8], _ scanner: inout JSONScanner, _ bytes: RawSpan
  ) throws(JSONError) {
    switch key {
    case Key.tenant:
      var text: [UInt8] = []
      try scanner.string(in: bytes, expected: "tenant is a string of at most 64 bytes") {
        text.append(contentsOf: $0)
      }
      guard text.count <= 64 else { throw JSONError("tenant is a string of at most 64 bytes") }
      tenant = text
    case Key.priority:
      let value = try scanner.unsignedInteger(
        in: bytes, expected: "priority is a whole number from 0 to 9, one digit")
      guard value <= 9 else { throw JSONError("priority is a whole number from 0 to 9, one digit") }
      priority = UInt8(value)
    default:
      expiresAtMilliseconds = try scanner.unsignedInteger(
        in: bytes, expected: "expires_at_ms is a Unix time in milliseconds, a whole number in digits alone")
    }
  }

  private enum Key {
    static let tenant = Array("tenant".utf8)
    static let priority = Array("priority".utf8)
    static let expires = Array("expires_at_ms".utf8)
    static let all = [tenant, priority, expires]
  }
}

extension [UInt8] {
  fileprivate mutating func append(contentsOf piece: RawSpan) {
    piece.withUnsafeBytes { append(contentsOf: $0) }
  }
}
