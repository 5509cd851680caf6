internal import Glibc

/// Where workers listen for their operator: a socket in a directory that is their user's alone.
///
/// The workers of one store share the directory `STORE.control`, where each takes the first number that is free. A file beside each
/// socket is locked for as long as its worker lives (flock(2)): the kernel lets go of it however the worker ends, so a socket that a
/// dead worker has left is known as such and taken over, and never one that is in use.
public struct ControlPlace: Sendable, Equatable, CustomStringConvertible {
  /// Workers of one store on one machine.
  static let slots = 64

  let directory: String
  /// Nil: one of the numbers.
  let name: String?

  public var description: String { name.map { "\(directory)/\($0)" } ?? directory }

  /// Beside a store.
  public init(store: String) {
    directory = store + ".control"
    name = nil
  }

  /// At a path that the operator names.
  public init(path: String) throws(ControlError) {
    let slash = path.lastIndex(of: "/")
    let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
    guard !name.isEmpty, name != ".", name != "..", name.utf8.count <= 64 else {
      throw ControlError(.place, "--control \(path): a file's name of 1 to 64 bytes is needed")
    }
    directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    self.name = String(name)
  }

  /// The directory, opened. What is made here is the user's alone; what was there must be.
  func open(create: Bool) throws(ControlError) -> ControlDirectory {
    var isNew = false
    if create, name == nil {
      isNew = mkdir(directory, 0o700) == 0
      guard isNew || errno == EEXIST else { throw .system("cannot make \(directory)") }
    }
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (name == nil ? O_NOFOLLOW : 0)
    let descriptor = Glibc.open(directory, flags)
    guard descriptor >= 0 else { throw .system("cannot open \(directory)") }
    let opened = ControlDirectory(descriptor: descriptor, path: directory, isNew: isNew)
    guard name == nil else { return opened }
    // Whatever the umask has taken away.
    if isNew { fchmod(descriptor, 0o700) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system("cannot look at \(directory)") }
    guard status.st_uid == geteuid() || geteuid() == 0, status.st_mode & 0o077 == 0 else {
      throw ControlError(.place, "\(directory) is not this user's alone (mode 0700)")
    }
    return opened
  }
}

/// An open directory. Sockets in it are named by way of its descriptor, so that no path is too long for one (unix(7)).
struct ControlDirectory: ~Copyable {
  let descriptor: Int32
  let path: String
  /// Whether it was made to be opened.
  let isNew: Bool

  deinit { close(descriptor) }

  func endpoint(_ name: String) -> String { "ipc:///proc/self/fd/\(descriptor)/\(name)" }

  /// Takes the lock of a name.
  ///
  /// - Returns: nil if somebody has it.
  func lock(_ name: String) throws(ControlError) -> ControlLock? {
    let file = openat(descriptor, name + ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { throw .system("cannot open \(path)/\(name).lock") }
    let lock = ControlLock(name: name, descriptor: file)
    if flock(file, LOCK_EX | LOCK_NB) == 0 {
      guard isThere(lock) else { return nil }
      return lock
    }
    guard errno == EWOULDBLOCK else { throw .system("cannot lock \(path)/\(name).lock") }
    return nil
  }

  /// Whether a lock is that of its name still: the worker that had it may have withdrawn in between, and its file is nobody's then.
  private func isThere(_ lock: borrowing ControlLock) -> Bool {
    var (ours, there) = (stat(), stat())
    return fstat(lock.descriptor, &ours) == 0
      && fstatat(descriptor, lock.name + ".lock", &there, AT_SYMLINK_NOFOLLOW) == 0
      && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino
  }

  /// Removes the directory again, if nobody else is in it.
  func remove(_ lock: consuming ControlLock) {
    unlinkat(descriptor, lock.name + ".lock", 0)
    rmdir(path)
  }

  /// Whether somebody lives who has the lock of a name.
  func isAlive(_ name: String) -> Bool {
    let file = openat(descriptor, name + ".lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard file >= 0 else { return false }
    defer { close(file) }
    return flock(file, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  /// Removes the socket that a dead worker has left; anything else is left alone.
  func removeStale(_ name: String) throws(ControlError) {
    var status = stat()
    guard fstatat(descriptor, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw ControlError(.place, "\(path)/\(name) is there, and it is no socket")
    }
    unlinkat(descriptor, name, 0)
  }
}

/// Held until it goes away.
struct ControlLock: ~Copyable {
  let name: String
  let descriptor: Int32
  deinit { close(descriptor) }
}

extension ControlError {
  static func system(_ what: String) -> ControlError {
    ControlError(.place, "\(what): \(String(cString: strerror(errno)))")
  }
}
