internal import CNubCPU

/// SHA-256 (FIPS 180-4), streaming.
///
/// ```swift
/// var sha = SHA256()
/// sha.update(first)
/// sha.update(second)
/// let digest = sha.finalize()
/// ```
///
/// Runs on the CPU's SHA extensions where it has them, on host and guest alike, and in portable Swift elsewhere. A value
/// belongs to one thread at a time.
public struct SHA256: Sendable {
  /// 32 bytes, inline.
  public typealias Digest = CapHash

  private var state = SHA256.initialState
  /// The bytes of the block that is not full yet.
  private var block = InlineArray<64, UInt8>(repeating: 0)
  /// Bytes taken so far; modulo 64 it is how much of `block` is in use.
  private var byteCount: UInt64 = 0
  private let useExtensions: Bool

  public init() {
    self.init(useExtensions: SHA256.hasExtensions)
  }

  /// For tests, which check the portable code on CPUs that would not take it.
  init(useExtensions: Bool) {
    self.useExtensions = useExtensions
  }

  /// Whether this CPU has SHA extensions (and the SSE levels that go with them). Found out once.
  public static let hasExtensions = nub_sha256_available() != 0

  /// FIPS 180-4, section 5.3.3.
  static var initialState: InlineArray<8, UInt32> {
    [
      0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
  }

  /// The digest of `bytes`.
  public static func hash(_ bytes: RawSpan) -> Digest {
    var sha = SHA256()
    sha.update(bytes)
    return sha.finalize()
  }

  /// The digest of `bytes`.
  public static func hash(_ bytes: [UInt8]) -> Digest {
    unsafe hash(bytes.span.bytes)
  }

  /// The digest of `bytes`.
  @unsafe
  public static func hash(_ bytes: UnsafeRawBufferPointer) -> Digest {
    unsafe hash(bytes.bytes)
  }

  /// Takes the next `bytes` of the message.
  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { buffer in
      unsafe update(buffer)
    }
  }

  /// Takes the next `bytes` of the message.
  @unsafe
  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard var source = bytes.baseAddress, bytes.count > 0 else { return }
    var left = bytes.count
    let used = Int(byteCount % 64)
    byteCount &+= UInt64(left)
    if used > 0 {
      let taken = min(left, 64 - used)
      unsafe fill(from: used, source, taken)
      unsafe source += taken
      left -= taken
      if used + taken < 64 { return }
      compressBlock()
    }
    let blocks = left / 64
    if blocks > 0 {
      unsafe compress(source, count: blocks)
      unsafe source += 64 * blocks
      left -= 64 * blocks
    }
    if left > 0 {
      unsafe fill(from: 0, source, left)
    }
  }

  /// The digest of everything taken so far. The value then starts over.
  public mutating func finalize() -> Digest {
    let used = Int(byteCount % 64)
    // FIPS 180-4, section 5.1.1: a one bit, zeros, and the length in bits as 64 bits at the end of a block.
    block[used] = 0x80
    for index in used + 1..<64 { block[index] = 0 }
    if used + 1 > 56 {
      compressBlock()
      for index in 0..<56 { block[index] = 0 }
    }
    let bits = byteCount &<< 3
    for index in 0..<8 { block[56 + index] = UInt8(truncatingIfNeeded: bits &>> UInt64(56 - 8 * index)) }
    compressBlock()
    let digest = SHA256.digest(of: state)
    state = SHA256.initialState
    byteCount = 0
    return digest
  }

  /// The digest that a final state stands for: its words, big-endian.
  static func digest(of state: InlineArray<8, UInt32>) -> Digest {
    func pair(_ index: Int) -> UInt64 {
      (UInt64(state[index]) << 32 | UInt64(state[index + 1])).bigEndian
    }
    return CapHash(words: (pair(0), pair(2), pair(4), pair(6)))
  }

  /// Copies `count` bytes to `block` at `offset`. `offset + count <= 64`, and `source` has `count` bytes.
  @unsafe
  private mutating func fill(from offset: Int, _ source: UnsafeRawPointer, _ count: Int) {
    var target = block.mutableSpan
    unsafe target.withUnsafeMutableBytes { buffer in
      unsafe buffer.baseAddress.unsafelyUnwrapped.advanced(by: offset).copyMemory(
        from: source, byteCount: count)
    }
  }

  private mutating func compressBlock() {
    let full = block
    unsafe full.span.withUnsafeBytes { buffer in
      unsafe compress(buffer.baseAddress.unsafelyUnwrapped, count: 1)
    }
  }

  /// Compresses `count` blocks that lie at `blocks`.
  @unsafe
  private mutating func compress(_ blocks: UnsafeRawPointer, count: Int) {
    var target = state.mutableSpan
    unsafe target.withUnsafeMutableBufferPointer { words in
      if useExtensions {
        unsafe nub_sha256_compress(
          words.baseAddress, blocks.assumingMemoryBound(to: UInt8.self), count)
      } else {
        unsafe SHA256.compressPortably(words.baseAddress.unsafelyUnwrapped, blocks, count: count)
      }
    }
  }
}
