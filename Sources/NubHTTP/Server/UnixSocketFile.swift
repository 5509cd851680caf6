internal import Glibc

/// The file of a listening unix socket: nobody else's, and taken over only from somebody who is gone.
struct UnixSocketFile {
  let path: String

  /// Removes a socket behind which nobody listens; anything else at this path is left alone, and then cannot be bound.
  func removeStale() throws(HTTPError) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    // Without waiting: a listener whose queue is full listens, too.
    let probe = socket(
      AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard probe >= 0 else { return }
    defer { close(probe) }
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
    let result = withUnsafeBytes(of: &name) { bytes -> Int32 in
      guard let base = bytes.baseAddress else { return -1 }
      return connect(
        probe, base.assumingMemoryBound(to: sockaddr.self), socklen_t(MemoryLayout<sockaddr_un>.size))
    }
    guard result != 0, errno == ECONNREFUSED else {
      throw HTTPError("another process listens on unix:\(path)")
    }
    unlink(path)
  }

  func remove() { unlink(path) }
}
