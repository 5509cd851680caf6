import NubCap
import Testing

@Suite("CapHash")
struct CapHashTests {
  @Test("hex text and bytes lead to the same hash, in both cases of letters")
  func hex() {
    let hash = capName(1)
    #expect(CapHash(hex: hash.hex) == hash)
    #expect(CapHash(hex: hash.hex.uppercased()) == hash)
    #expect(CapHash(hash.bytes) == hash)
    #expect(hash.hex.count == 64)
    #expect(CapHash(hex: "00" + String(repeating: "f", count: 62))?.bytes.first == 0)
  }

  @Test("what is not 64 hexadecimal digits is no hash")
  func badHex() {
    #expect(CapHash(hex: "") == nil)
    #expect(CapHash(hex: String(repeating: "0", count: 63)) == nil)
    #expect(CapHash(hex: String(repeating: "0", count: 65)) == nil)
    #expect(CapHash(hex: String(repeating: "0", count: 63) + "g") == nil)
    #expect(CapHash(hex: "0x" + String(repeating: "0", count: 62)) == nil)
    #expect(CapHash(hex: String(repeating: "٣", count: 32)) == nil)
  }

  @Test("only 32 bytes make a hash", arguments: [0, 1, 31, 33, 64])
  func badCount(count: Int) {
    #expect(CapHash([UInt8](repeating: 1, count: count)) == nil)
  }

  @Test("the order is that of the bytes")
  func order() {
    var generator = SplitMix64(state: 1)
    for _ in 0..<1000 {
      var a = capName(Int(generator.next() % 1000)).bytes
      var b = a
      b[Int.random(in: 0..<32, using: &generator)] &+= UInt8.random(in: 1...255, using: &generator)
      if Bool.random(using: &generator) { swap(&a, &b) }
      let (first, second) = (CapHash(a) ?? .zero, CapHash(b) ?? .zero)
      #expect((first < second) == a.lexicographicallyPrecedes(b))
      #expect((first < second) == (first.hex < second.hex))
      #expect(first != second)
    }
    #expect(!(capName(1) < capName(1)))
    #expect(CapHash.zero < .refused)
  }

  @Test("hashes that differ in any one word are different keys")
  func keys() {
    var set: Set<CapHash> = []
    for byte in 0..<32 {
      var bytes = [UInt8](repeating: 0, count: 32)
      bytes[byte] = 1
      if let hash = CapHash(bytes) { set.insert(hash) }
    }
    #expect(set.count == 32)
    #expect(CapHash.zero.isZero && !CapHash.refused.isZero && !set.contains(.zero))
  }
}
