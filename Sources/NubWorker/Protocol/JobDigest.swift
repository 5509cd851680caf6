internal import NubCap

/// What makes two messages with one job id the same job: the first 16 bytes of the SHA-256 over verb, operand and body, each
/// after its length as a u64, little-endian. Options do not count.
struct JobDigest: Hashable, Sendable {
  static let byteCount = 16

  var low: UInt64
  var high: UInt64

  init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  init(verb: Verb, operand: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) {
    var sha = SHA256()
    let name = verb.name
    Self.add(UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), to: &sha)
    Self.add(operand, to: &sha)
    Self.add(body, to: &sha)
    let digest = sha.finalize()
    (low, high) = digest.withUnsafeBytes {
      ($0.loadUnaligned(as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }
  }

  /// The 16 bytes; the pointer is good during `body` only.
  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    Swift.withUnsafeBytes(of: (low, high), body)
  }

  private static func add(_ bytes: UnsafeRawBufferPointer, to sha: inout SHA256) {
    Swift.withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { sha.update($0) }
    sha.update(bytes)
  }
}
