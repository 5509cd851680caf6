/// The name of a cap: the SSZ `hash_tree_root` of its value. Also any other 32 bytes of a Merkle tree, and a SHA-256
/// digest.
///
/// The 32 bytes lie inline, so a hash is copied and compared without touching the heap. Nothing about the value is
/// checked: a hash that a peer sends names a cap only if somebody has a cap with that root.
public struct CapHash: Sendable, BitwiseCopyable {
  /// The bytes in order, eight to a word, as they lie in memory.
  public internal(set) var words: (UInt64, UInt64, UInt64, UInt64)

  @inline(__always)
  init(words: (UInt64, UInt64, UInt64, UInt64)) {
    self.words = words
  }

  /// The size of a hash in bytes.
  public static let byteCount = 32

  /// 32 zero bytes: "no cap" where a field may be empty, and the padding chunk of a Merkle tree.
  public static var zero: CapHash { CapHash(words: (0, 0, 0, 0)) }

  /// 32 times 0xFF. It never names a cap: it is the guest's answer "could not decode".
  public static var refused: CapHash { CapHash(words: (.max, .max, .max, .max)) }

  /// The hash made of exactly these bytes; nil if they are not 32.
  public init?(_ bytes: RawSpan) {
    guard bytes.byteCount == CapHash.byteCount else { return nil }
    self.init(bytes, at: 0)
  }

  /// The hash made of exactly these bytes; nil if they are not 32.
  public init?(_ bytes: [UInt8]) {
    unsafe self.init(bytes.span.bytes)
  }

  /// The hash made of exactly these bytes; nil if they are not 32.
  @unsafe
  public init?(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.init(bytes.bytes)
  }

  /// The hash that lies at `offset`, which the caller has checked to leave 32 bytes.
  @inline(__always)
  init(_ bytes: RawSpan, at offset: Int) {
    // The span checks the bounds of each load; the loaded type is a plain integer, for which any bits are a value.
    unsafe words = (
      bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self),
      bytes.unsafeLoadUnaligned(fromByteOffset: offset + 8, as: UInt64.self),
      bytes.unsafeLoadUnaligned(fromByteOffset: offset + 16, as: UInt64.self),
      bytes.unsafeLoadUnaligned(fromByteOffset: offset + 24, as: UInt64.self)
    )
  }

  /// True if all 32 bytes are zero.
  @inline(__always)
  public var isZero: Bool {
    words.0 | words.1 | words.2 | words.3 == 0
  }

  /// The 32 bytes. The pointer is valid during `body` only.
  @unsafe
  @inline(__always)
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try unsafe Swift.withUnsafeBytes(of: words, body)
  }

  /// The 32 bytes in an array of their own.
  public var bytes: [UInt8] {
    unsafe withUnsafeBytes { (buffer) -> [UInt8] in unsafe [UInt8](buffer) }
  }
}

extension CapHash: Equatable {
  @inline(__always)
  public static func == (a: CapHash, b: CapHash) -> Bool {
    (a.words.0 ^ b.words.0) | (a.words.1 ^ b.words.1) | (a.words.2 ^ b.words.2) | (a.words.3 ^ b.words.3) == 0
  }
}

extension CapHash: Hashable {
  /// Mixes all four words. One would do for hashes that we computed, whose bits are uniform; but dictionaries also hold
  /// hashes that a producer merely claims, and claims that agree in one word cost nothing to make.
  @inline(__always)
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

extension CapHash: Comparable {
  /// Orders by the bytes, the first one counting most: the order of `memcmp`, of the hex text, and of a BLOB in SQLite.
  @inline(__always)
  public static func < (a: CapHash, b: CapHash) -> Bool {
    if a.words.0 != b.words.0 { return a.words.0.bigEndian < b.words.0.bigEndian }
    if a.words.1 != b.words.1 { return a.words.1.bigEndian < b.words.1.bigEndian }
    if a.words.2 != b.words.2 { return a.words.2.bigEndian < b.words.2.bigEndian }
    return a.words.3.bigEndian < b.words.3.bigEndian
  }
}
