internal import Glibc

/// A lock of Linux's "open file description" kind (fcntl(2), F_OFD_SETLK): it belongs to the descriptor rather than the
/// process, so two of them exclude each other within one process as well, and closing an unrelated descriptor of the same file does
/// not drop it. The kernel releases it when the process ends, however it ends.
struct OpenFileLock: ~Copyable {
  // <fcntl.h> defines these under _GNU_SOURCE only.
  private static let setLock: Int32 = 37  // F_OFD_SETLK
  private static let getLock: Int32 = 36  // F_OFD_GETLK
  private let descriptor: Int32
  let path: String

  /// Opens the file, making it (mode 0600) if it is missing; the lock is not taken yet.
  init(path: String) throws(StoreError) {
    let opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard opened >= 0 else { throw StoreError(opening: path, errno: errno) }
    // Of a file that somebody else made only its owner may change the mode: then it stays as it is.
    fchmod(opened, 0o600)
    descriptor = opened
    self.path = path
  }

  deinit {
    close(descriptor)
  }

  /// Takes the lock if nobody has it.
  borrowing func tryLock() throws(StoreError) -> Bool {
    try set(Int16(F_WRLCK))
  }

  /// Waits for the lock. Holders keep it for the length of a commit, so the wait is polled: a wait in the kernel has no end if
  /// the holder is stopped.
  /// - Parameter byte: the only one to be locked; nil: the whole file.
  borrowing func lock(timeoutMilliseconds: Int32, byte: off_t? = nil) throws(StoreError) {
    if try set(Int16(F_WRLCK), byte) { return }
    let deadline = ContinuousClock.now + .milliseconds(Int64(timeoutMilliseconds))
    var pause: UInt32 = 50
    while ContinuousClock.now < deadline {
      usleep(pause)
      if try set(Int16(F_WRLCK), byte) { return }
      pause = min(pause * 2, 2_000)
    }
    throw StoreError(
      .locked,
      "\(path) has been held by another worker for more than \(timeoutMilliseconds) ms: look for one that is stopped or stuck"
    )
  }

  borrowing func unlock() {
    _ = try? set(Int16(F_UNLCK))
  }

  /// Removes the file; whoever has it open keeps a lock on something that nobody else will find.
  borrowing func removeFile() {
    unlink(path)
  }

  /// Whether somebody holds the lock on this file now. Takes nothing.
  static func isHeld(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    return isHeld(byte: nil, elsewhereThan: descriptor)
  }

  private borrowing func set(_ type: Int16, _ byte: off_t? = nil) throws(StoreError) -> Bool {
    switch Self.set(type, on: descriptor, byte: byte) {
    case 0: return true
    case EAGAIN, EACCES: return false
    case let code: throw StoreError(.io, "cannot lock \(path)", errno: code)
    }
  }

  // MARK: Parts of a file

  /// Takes or gives back the lock on one byte, which need not exist, or on the whole file (nil).
  /// - Returns: 0, or the error's number: EAGAIN or EACCES if somebody else has it.
  static func set(_ type: Int16, on descriptor: Int32, byte: off_t?) -> Int32 {
    var request = request(type, byte)
    while fcntl(descriptor, setLock, &request) != 0 {
      if errno != EINTR { return errno }
    }
    return 0
  }

  /// Whether another than this descriptor has it. Takes nothing.
  static func isHeld(byte: off_t?, elsewhereThan descriptor: Int32) -> Bool {
    var request = request(Int16(F_WRLCK), byte)
    return fcntl(descriptor, getLock, &request) == 0 && request.l_type != Int16(F_UNLCK)
  }

  private static func request(_ type: Int16, _ byte: off_t?) -> flock {
    var request = flock()
    request.l_type = type
    request.l_whence = Int16(SEEK_SET)
    request.l_start = byte ?? 0
    request.l_len = byte == nil ? 0 : 1
    return request
  }
}

extension StoreError {
  /// A file could not be opened or made.
  init(opening path: String, errno code: Int32) {
    switch code {
    case ENOSPC, EDQUOT, EFBIG:
      self.init(.diskFull, "no room to make \(path): free space on its file system", errno: code)
    case EROFS, EACCES, EPERM:
      self.init(
        .readOnly,
        "\(path) cannot be opened for writing: check its permissions, those of its directory, and whether the file system is mounted read-only",
        errno: code)
    case ENOENT, ENOTDIR:
      self.init(.cannotOpen, "cannot open \(path): there is no such file or directory", errno: code)
    default:
      self.init(.cannotOpen, "cannot open \(path)", errno: code)
    }
  }
}
