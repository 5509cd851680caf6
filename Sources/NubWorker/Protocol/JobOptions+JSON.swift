internal import NubCap
internal import NubJSON

extension JobOptions {
  /// Reads the options object.
  ///
  /// Strict where it matters: the text is one complete JSON object (RFC 8259) of valid UTF-8, nested at most 32 deep; a known key
  /// has its type (`null` is not one) and occurs once, because two readers that pick different ones of two would not agree on
  /// the tenant. Unknown keys are skipped, whatever they hold. Absent or empty options cost nothing, and nothing but the
  /// list of `caps` allocates.
  init(json bytes: RawSpan) throws(JSONError) {
    if bytes.byteCount == 0 { return }
    var scanner = JSONScanner()
    var seen: UInt8 = 0
    try scanner.object(in: bytes) { (scanner) throws(JSONError) in
      guard let known = Key(try scanner.shortKey(in: bytes)) else {
        return try scanner.skipValue(in: bytes, depth: 1)
      }
      guard seen & (1 << known.rawValue) == 0 else {
        throw JSONError("\"\(known.name)\" occurs twice")
      }
      seen |= 1 << known.rawValue
      try read(known, &scanner, bytes)
    }
  }

  private mutating func read(
    _ key: Key, _ scanner: inout JSONScanner, _ bytes: RawSpan
  ) throws(JSONError) {
    switch key {
    case .deadline:
      deadlineMilliseconds = UInt32(
        clamping: try scanner.unsignedInteger(
          in: bytes, expected: "deadline_ms is a whole number of milliseconds, in digits alone"))
    case .expiresAt:
      expiresAtMilliseconds = try scanner.unsignedInteger(
        in: bytes, expected: "expires_at_ms is a Unix time in milliseconds, a whole number in digits alone")
    case .tenant:
      tenant = try scanner.shortString(in: bytes, expected: "tenant is a string of at most 64 bytes")
    case .priority:
      let value = try scanner.unsignedInteger(
        in: bytes, expected: "priority is a whole number from 0 to 9, one digit")
      guard value <= 9 else { throw JSONError("priority is a whole number from 0 to 9, one digit") }
      priority = UInt8(value)
    case .fresh:
      fresh = try scanner.boolean(in: bytes, expected: "fresh is true or false")
    case .caps:
      var caps: [CapHash] = []
      try scanner.array(in: bytes, expected: "caps is an array of hashes in hex") {
        (scanner) throws(JSONError) in
        guard caps.count < ProtocolLimits.caps else {
          throw JSONError("caps names at most \(ProtocolLimits.caps)")
        }
        let text = try scanner.shortString(in: bytes, expected: "caps is an array of hashes of 64 hex digits")
        guard let hash = CapHash(hexDigits: text) else {
          throw JSONError("caps is an array of hashes of 64 hex digits")
        }
        caps.append(hash)
      }
      self.caps = caps
    case .traceparent:
      traceparent = try scanner.shortString(in: bytes, expected: "traceparent is a W3C trace context")
    }
  }

  /// The keys that mean something; the raw value is the bit in the set of those seen.
  private enum Key: UInt8, CaseIterable {
    case deadline, expiresAt, tenant, priority, fresh, caps, traceparent

    var name: StaticString {
      switch self {
      case .deadline: "deadline_ms"
      case .expiresAt: "expires_at_ms"
      case .tenant: "tenant"
      case .priority: "priority"
      case .fresh: "fresh"
      case .caps: "caps"
      case .traceparent: "traceparent"
      }
    }

    /// `text` is nil for a key of more than 64 bytes, which is none of these.
    init?(_ text: ShortBytes?) {
      guard let text else { return nil }
      for key in Key.allCases where text.equals(key.name) {
        self = key
        return
      }
      return nil
    }
  }
}

extension JSONScanner {
  /// Reads a member's key; nil for one of more than 64 bytes.
  mutating func shortKey(in bytes: RawSpan) throws(JSONError) -> ShortBytes? {
    var text: ShortBytes? = ShortBytes()
    try key(in: bytes) { if text?.append($0) == false { text = nil } }
    return text
  }

  /// Reads a string of at most 64 bytes.
  mutating func shortString(in bytes: RawSpan, expected: StaticString) throws(JSONError) -> ShortBytes {
    var text: ShortBytes? = ShortBytes()
    try string(in: bytes, expected: expected) { if text?.append($0) == false { text = nil } }
    guard let text else { throw JSONError("\(expected)") }
    return text
  }
}

extension ShortBytes {
  func equals(_ text: StaticString) -> Bool {
    guard count == text.utf8CodeUnitCount else { return false }
    return withUnsafeBytes { bytes in
      for index in 0..<bytes.count where bytes[index] != text.utf8Start[index] { return false }
      return true
    }
  }
}

extension CapHash {
  /// nil unless these are 64 hex digits.
  init?(hexDigits text: ShortBytes) {
    guard text.count == 64 else { return nil }
    self.init(hex: text.withUnsafeBytes { String(decoding: $0, as: UTF8.self) })
  }
}
