internal import NubCap
internal import NubStore

/// What makes two messages with one job id the same job: the first 16 bytes of the SHA-256 over verb, operand and body, each after its
/// length as a u64, little-endian. Options do not count.
extension ContentDigest {
  /// nil for other verbs than `call`: only calls occupy their ids, and hashing the bytes of a put would cost as much as checking it.
  init?(of verb: Verb, operand: UnsafeRawBufferPointer, body: UnsafeRawBufferPointer) {
    guard verb == .call else { return nil }
    self.init(verb: verb, operand: operand, body: body)
  }

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
