internal import Glibc
internal import NubCap
internal import Synchronization

/// The book of a store in a file: an entry is a lock of the kernel's on one byte of it, at a place that the key names.
///
/// Such locks need no memory that a killed process could leave in disorder, and nobody has to judge who is alive: the kernel takes
/// them back with the descriptor. The bytes that are locked are beyond the file's end and never written. What the file does hold is the
/// secret, and a table of what came of work, one slot for many keys.
final class WorkFile: WorkBook {
  let secret: (UInt64, UInt64)
  private let descriptor: Int32
  /// Entries of this process: the kernel would give them to the same descriptor twice.
  private let own = Mutex<Set<WorkKey>>([])

  private static let slots: UInt64 = 1_024
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

  func end(_ key: WorkKey, result: CapHash?) {
    if let result { note(result, of: key) }
    own.withLock { own in
      guard own.remove(key) != nil else { return }
      _ = OpenFileLock.set(Int16(F_UNLCK), on: descriptor, byte: Self.place(key))
    }
  }

  func result(of key: WorkKey) -> CapHash? {
    var slot = [UInt8](repeating: 0, count: Self.slotBytes)
    guard pread(descriptor, &slot, slot.count, Self.slot(key)) == slot.count else { return nil }
    return slot.withUnsafeBytes { slot in
      guard slot.loadUnaligned(as: UInt64.self) == key.rawValue else { return nil }
      return CapHash(UnsafeRawBufferPointer(rebasing: slot[8...]))
    }
  }

  private func note(_ result: CapHash, of key: WorkKey) {
    var slot: [UInt8] = []
    withUnsafeBytes(of: key.rawValue) { slot.append(contentsOf: $0) }
    slot.append(contentsOf: result.bytes)
    // Where it fails, the next one does the work.
    _ = pwrite(descriptor, slot, slot.count, Self.slot(key))
  }

  private static func slot(_ key: WorkKey) -> off_t {
    off_t(tableOffset + key.rawValue % slots * UInt64(slotBytes))
  }

  /// Beyond all that is ever written.
  private static func place(_ key: WorkKey) -> off_t { off_t(key.rawValue >> 2 | 1 << 62) }
}
