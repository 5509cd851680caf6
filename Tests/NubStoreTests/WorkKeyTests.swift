import NubStore
import Testing

@Suite struct WorkKeyTests {
  private func key(_ content: [UInt8], tenant: [UInt8] = [], secret: (UInt64, UInt64) = (1, 3)) -> WorkKey {
    content.withUnsafeBytes { content in
      tenant.withUnsafeBytes { WorkKey(of: content, tenant: $0, secret: secret) }
    }
  }

  @Test func everyBitOfTheContentCounts() {
    for count in [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 200] {
      let content = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) }
      var keys: Set = [key(content)]
      for bit in 0..<count * 8 {
        var changed = content
        changed[bit / 8] ^= 1 << UInt8(bit % 8)
        keys.insert(key(changed))
      }
      #expect(keys.count == count * 8 + 1)
    }
  }

  @Test func zerosOfEveryLengthAreDifferentContents() {
    #expect(Set((0..<300).map { key([UInt8](repeating: 0, count: $0)) }).count == 300)
  }

  @Test func tenantAndSecretCount() {
    let content = [UInt8](repeating: 5, count: 100)
    #expect(key(content) == key(content))
    let keys = [
      key(content), key(content, tenant: [1]), key(content, tenant: [0]), key(content, secret: (2, 3)),
      key(content, secret: (1, 5)),
    ]
    #expect(Set(keys).count == keys.count)
  }

  /// Adding two parts' products, or swapping them, are the mistakes that such digests are made with.
  @Test func partsThatTradePlacesMakeAnotherContent() {
    let parts = (0..<8).map { part in (0..<16).map { UInt8(truncatingIfNeeded: part * 16 + $0) } }
    var keys: Set<WorkKey> = []
    for first in 0..<8 {
      for second in first..<8 {
        var order = parts
        order.swapAt(first, second)
        keys.insert(key(order.flatMap { $0 }))
      }
    }
    // The order as it was, which swapping a part with itself gives too, and one for each pair.
    #expect(keys.count == 1 + 28)
  }
}
