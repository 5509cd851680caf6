internal import Glibc
internal import NubCap
internal import Synchronization

/// The book of a store in a file: an entry is a lock of the kernel's on one byte of it, at a place that the key names.
///
/// Such locks need no memory that a killed process could leave in disorder, and nobody has to judge who is alive: the kernel takes
/// them back with the descriptor. The bytes that are locked are beyond the file's end and never written. What the file does hold is the
/// secret, and a table of what came of work, at most some megabytes.
final class WorkFile: WorkBook {
  let secret: (UInt64, UInt64)
  private let descriptor: Int32
  /// Entries of this process: the kernel would give them to the same descriptor twice.
  private let own = Mutex<Set<WorkKey>>([])

  /// The table: in each bucket the results of a few keys. Of as many as are worked on at a time, hardly two meet.
  private static let buckets: UInt64 = 16_384
  private static let slots = 4
  private static let slotBytes = 8 + CapHash.byteCount
  private static let tableOffset: UInt64 = 4_096

  /// Opens the file, making it (mode 0600) if it is missing.
  init(path: String, busyTimeoutMilliseconds: Int32) throws(StoreError) {
    let lock = try OpenFileLock(path: path)
    // Whoever comes first makes the secret.
    try lock.lock(timeoutMilliseconds: busyTimeoutMilliseconds, byte: 0)
    let opened = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    guard opened >= 0 else { throw StoreError(opening: path, errno: errno) }
    descriptor = opened
    secret = Self.secret(in: opened)
  }

  deinit {
    close(descriptor)
  }

  private static func secret(in descriptor: Int32) -> (UInt64, UInt64) {
    var secret: (UInt64, UInt64) = (0, 0)
    let count = MemoryLayout.size(ofValue: secret)
    if pread(descriptor, &secret, count, 0) == count, secret != (0, 0) { return secret }
    var generator = SystemRandomNumberGenerator()
    secret = (generator.next(), generator.next() | 1)
    // With a full disk each process has a secret of its own and sees nobody else's entries.
    _ = pwrite(descriptor, &secret, count, 0)
    return secret
  }

  func begin(_ key: WorkKey) -> Bool {
    own.withLock { own in
      guard own.insert(key).inserted else { return false }
      let code = OpenFileLock.set(Int16(F_WRLCK), on: descriptor, byte: Self.place(key))
      guard code == EAGAIN || code == EACCES else { return true }
      own.remove(key)
      return false
    }
  }

  func isUnderWay(_ key: WorkKey) -> Bool {
    own.withLock { own in
      own.contains(key) || OpenFileLock.isHeld(byte: Self.place(key), elsewhereThan: descriptor)
    }
  }

  func end(_ key: WorkKey) {
    own.withLock { own in
      guard own.remove(key) != nil else { return }
      _ = OpenFileLock.set(Int16(F_UNLCK), on: descriptor, byte: Self.place(key))
    }
  }

  func result(of key: WorkKey) -> CapHash? {
    let bucket = bucket(of: key)
    guard let slot = Self.slot(of: key.rawValue, in: bucket) else { return nil }
    let start = slot * Self.slotBytes + 8
    return CapHash(Array(bucket[start..<start + CapHash.byteCount]))
  }

  func note(_ result: CapHash, of key: WorkKey) {
    let bucket = bucket(of: key)
    let slot =
      Self.slot(of: key.rawValue, in: bucket) ?? Self.slot(of: 0, in: bucket) ?? Int(key.rawValue >> 62)
    var bytes: [UInt8] = []
    withUnsafeBytes(of: key.rawValue) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: result.bytes)
    // Where it fails, or somebody else writes here at this moment, a put more is worked on.
    _ = pwrite(descriptor, bytes, bytes.count, Self.offset(of: key) + off_t(slot * Self.slotBytes))
  }

  /// Zeros where the file has nothing.
  private func bucket(of key: WorkKey) -> [UInt8] {
    var bucket = [UInt8](repeating: 0, count: Self.slots * Self.slotBytes)
    _ = pread(descriptor, &bucket, bucket.count, Self.offset(of: key))
    return bucket
  }

  private static func slot(of key: UInt64, in bucket: [UInt8]) -> Int? {
    bucket.withUnsafeBytes { bucket in
      (0..<slots).first { bucket.loadUnaligned(fromByteOffset: $0 * slotBytes, as: UInt64.self) == key }
    }
  }

  private static func offset(of key: WorkKey) -> off_t {
    off_t(tableOffset + key.rawValue % buckets * UInt64(slots * slotBytes))
  }

  /// Beyond all that is ever written.
  private static func place(_ key: WorkKey) -> off_t { off_t(key.rawValue >> 2 | 1 << 62) }
}
