internal import NubCap
internal import NubStore

extension ContentDigest {
  /// What makes two messages with one job id the same job: the first 16 bytes of the SHA-256 over verb, operand and body, each
  /// after its length as a u64, little-endian. Options do not count.
  init(verb: Verb, operand: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) {
    var sha = SHA256()
    sha.add(verb.name.bytes)
    sha.add(operand)
    sha.add(body)
    let digest = sha.finalize()
    // 32 bytes are more than the 16 that are needed.
    self = digest.withUnsafeBytes { ContentDigest($0) }.unsafelyUnwrapped
  }
}

extension SHA256 {
  fileprivate mutating func add(_ bytes: UnsafeRawBufferPointer) {
    withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { update($0) }
    update(bytes)
  }
}
