public import NubCap

/// Says which work is under way in some process on this store, so that others may wait for it instead of doing the same.
///
/// A courtesy, not a lock that anything's safety rests on: what is done is checked and committed as if there were no book, so work
/// that two do all the same does no harm. Hence nothing in here fails: when in doubt, an entry is had by whoever asks.
///
/// Any thread. Nothing in here waits. An entry ends with the process that made it, however that ends.
public protocol WorkBook: AnyObject, Sendable {
  /// The same for everybody on this store, and known to nobody else: ``WorkKey`` mixes it in, so that nobody can choose contents whose
  /// keys are alike.
  var secret: (UInt64, UInt64) { get }

  /// Enters work, unless somebody is at it: another process, or another user of this book.
  func begin(_ key: WorkKey) -> Bool

  /// Whether somebody is at it.
  func isUnderWay(_ key: WorkKey) -> Bool

  /// Takes out work that was entered.
  func end(_ key: WorkKey)

  /// Leaves word of what comes of work, for those who cannot know. It may be left before the result is in the store.
  func note(_ result: CapHash, of key: WorkKey)

  /// What somebody at this work has left. Only a hint: it may be gone, or another key's, or a lie, or not in the store yet.
  func result(of key: WorkKey) -> CapHash?
}

/// Names a piece of work: a keyed digest of what it is done with.
///
/// One pass at the speed of memory, some twenty times as fast as a cap's hash. Two contents with one key cost their owners a wait for each
/// other and nothing else.
public struct WorkKey: Hashable, Sendable {
  public var rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// The work of filing `content` for a tenant.
  public init(
    of content: UnsafeRawBufferPointer, tenant: UnsafeRawBufferPointer, secret: (UInt64, UInt64)
  ) {
    var hash = Self.digest(tenant, from: secret.0 ^ UInt64(tenant.count), secret.1)
    hash = Self.digest(content, from: hash ^ UInt64(content.count), secret.1)
    rawValue = hash
  }

  /// The 128-bit product of two words, one half over the other.
  @inline(__always)
  private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  /// Four chains of products side by side, for one waits for the multiplier; odd constants keep them apart.
  private static func digest(_ bytes: UnsafeRawBufferPointer, from start: UInt64, _ key: UInt64) -> UInt64 {
    var a = start ^ key
    var b = start &+ 0x9e37_79b9_7f4a_7c15
    var c = start ^ key &+ 0xd1b5_4a32_d192_ed03
    var d = start &+ key ^ 0x8bb8_4b93_962e_acc9
    @inline(__always) func word(_ offset: Int) -> UInt64 {
      bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    var offset = 0
    while offset + 64 <= bytes.count {
      a = fold(a ^ word(offset), key ^ word(offset + 8))
      b = fold(b ^ word(offset + 16), key &+ word(offset + 24))
      c = fold(c ^ word(offset + 32), ~key ^ word(offset + 40))
      d = fold(d ^ word(offset + 48), ~key &+ word(offset + 56))
      offset += 64
    }
    var rest: UInt64 = 0
    while offset < bytes.count {
      rest = rest << 8 | UInt64(bytes[offset])
      if offset & 7 == 7 {
        a = fold(a ^ rest, key)
        rest = 0
      }
      offset += 1
    }
    return fold(fold(a ^ rest, b ^ key), fold(c ^ key, d)) ^ fold(a, d ^ key)
  }
}
