/// A tenant's number in this store. Numbers are never used again, so they may be cached for as long as the store is open.
public struct TenantID: Hashable, Sendable, Comparable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }

  /// The tenant whose name is empty: jobs that name none.
  public static let `default` = TenantID(rawValue: 0)

  public static func < (a: TenantID, b: TenantID) -> Bool { a.rawValue < b.rawValue }
}

/// A worker process's number in this store; each start of a worker gets a new one.
public struct WorkerID: Hashable, Sendable, Comparable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }

  public static func < (a: WorkerID, b: WorkerID) -> Bool { a.rawValue < b.rawValue }
}

/// The number of a guest image in this store.
public struct ImageID: Hashable, Sendable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }
}

/// The name of one journal row, unique in the store: the worker that made it in the upper 31 bits, a count in the lower 32.
public struct JournalID: Hashable, Sendable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }
}

/// How far a reader has read the list of cancels.
public struct CancelCursor: Hashable, Sendable {
  public var rawValue: Int64
  public init(rawValue: Int64) { self.rawValue = rawValue }

  /// Before the first one.
  public static let start = CancelCursor(rawValue: 0)
}

/// The first 16 bytes of the SHA-256 of a job's content, as the protocol defines it; equal ids with unequal digests conflict.
public struct ContentDigest: Hashable, Sendable, BitwiseCopyable {
  var words: (UInt64, UInt64)

  /// Takes the first 16 of at least 16 bytes; nil if there are fewer.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= 16 else { return nil }
    words = (
      bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
      bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
    )
  }

  /// The 16 bytes, good during `body`.
  @inline(__always)
  public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try Swift.withUnsafeBytes(of: words, body)
  }

  public static func == (a: ContentDigest, b: ContentDigest) -> Bool { a.words == b.words }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }
}

/// What ran a job.
public enum Engine: UInt8, Sendable, CaseIterable {
  /// A micro-VM.
  case kvm = 1
  /// The worker's own process, without isolation.
  case inprocess = 2

  /// As replies and views spell it.
  public var name: String {
    switch self {
    case .kvm: "kvm"
    case .inprocess: "inprocess"
    }
  }
}
