import Testing

@testable import NubCap

@Suite("SHA-256")
struct SHA256Tests {
  /// FIPS 180-4 examples, and the empty message.
  @Test(
    "the published digests come out",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ])
  func published(message: String, digest: String) {
    for extensions in [false, SHA256.hasExtensions] {
      var sha = SHA256(useExtensions: extensions)
      sha.update([UInt8](message.utf8).span.bytes)
      #expect(sha.finalize().hex == digest)
    }
  }

  @Test("a million letters a, in uneven pieces")
  func million() {
    for extensions in [false, SHA256.hasExtensions] {
      var sha = SHA256(useExtensions: extensions)
      var left = 1_000_000
      var piece = 1
      while left > 0 {
        let count = min(piece, left)
        sha.update([UInt8](repeating: 0x61, count: count).span.bytes)
        left -= count
        piece = piece * 3 % 1009 + 1
      }
      #expect(sha.finalize().hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }
  }

  @Test("the CPU's instructions and the portable code agree at every length up to 300")
  func portableAgrees() {
    for count in 0...300 {
      let message = payload(seed: count, count: count)
      var portable = SHA256(useExtensions: false)
      portable.update(message.span.bytes)
      #expect(portable.finalize() == SHA256.hash(message))
    }
  }

  @Test("a message hashes the same however it is cut in two")
  func cuts() {
    let message = payload(seed: 1, count: 200)
    let whole = SHA256.hash(message)
    for cut in 0...200 {
      var sha = SHA256()
      sha.update([UInt8](message[..<cut]).span.bytes)
      sha.update([UInt8](message[cut...]).span.bytes)
      #expect(sha.finalize() == whole)
    }
  }

  @Test("after finalize the value starts over")
  func startsOver() {
    var sha = SHA256()
    sha.update(([1, 2, 3] as [UInt8]).span.bytes)
    let first = sha.finalize()
    sha.update(([1, 2, 3] as [UInt8]).span.bytes)
    #expect(sha.finalize() == first)
  }

  @Test("pairs of nodes hash as 64-byte messages, in place too", arguments: 0...9)
  func pairs(count: Int) {
    let nodes = payload(seed: count, count: 64 * count)
    let expected = (0..<count).flatMap { SHA256.hash([UInt8](nodes[64 * $0..<64 * $0 + 64])).bytes }
    for hash in [Merkle.hashPairs, Merkle.hashPairsPortably] {
      var parents = nodes
      parents.withUnsafeMutableBytes { buffer in
        guard let start = buffer.baseAddress else { return }
        hash(start, UnsafeRawPointer(start), count)
      }
      #expect([UInt8](parents.prefix(32 * count)) == expected)
      // What lies behind the parents is as it was.
      #expect(parents.dropFirst(32 * count) == nodes.dropFirst(32 * count))
    }
  }
}
