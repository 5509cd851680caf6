/// Up to 64 bytes, inline: a job id, or a tenant's name. Compared and hashed without touching the heap.
struct ShortBytes: Sendable {
  static let maximumCount = 64

  /// Zero beyond ``count``, so that equality may look at all of it.
  private var words = InlineArray<8, UInt64>(repeating: 0)
  private(set) var count: Int = 0

  /// No bytes: the name of the default tenant.
  init() {}

  /// nil if there are more than 64 bytes.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count <= Self.maximumCount else { return nil }
    count = bytes.count
    // At most 64 bytes into the 64 that `words` has, checked above.
    withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
  }

  init?(_ text: String) {
    var text = text
    guard let bytes = text.withUTF8({ ShortBytes(UnsafeRawBufferPointer($0)) }) else { return nil }
    self = bytes
  }

  /// Adds the bytes of `piece`.
  ///
  /// - Returns: false if that would make more than 64; nothing is added then.
  mutating func append(_ piece: RawSpan) -> Bool {
    let free = count..<Self.maximumCount
    guard piece.byteCount <= free.count else { return false }
    piece.withUnsafeBytes { piece in
      // As many bytes of the 64 that `words` has as are free, checked above.
      withUnsafeMutableBytes(of: &words) {
        UnsafeMutableRawBufferPointer(rebasing: $0[free]).copyMemory(from: piece)
      }
    }
    count += piece.byteCount
    return true
  }

  var isEmpty: Bool { count == 0 }

  /// The bytes; the pointer is good during `body` only.
  func withUnsafeBytes<R, E>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try Swift.withUnsafeBytes(of: words) { (bytes) throws(E) -> R in
      try body(UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
    }
  }

  var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}

extension ShortBytes: Hashable {
  static func == (a: ShortBytes, b: ShortBytes) -> Bool {
    guard a.count == b.count else { return false }
    for index in 0..<(a.count + 7) / 8 where a.words[index] != b.words[index] { return false }
    return true
  }

  func hash(into hasher: inout Hasher) {
    hasher.combine(count)
    for index in 0..<(count + 7) / 8 { hasher.combine(words[index]) }
  }
}

extension ShortBytes: CustomStringConvertible {
  /// The text where it is printable ASCII, else hex.
  var description: String {
    let bytes = array
    if bytes.allSatisfy({ (0x20..<0x7f).contains($0) }) { return String(decoding: bytes, as: UTF8.self) }
    return "0x" + bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
