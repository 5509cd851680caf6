internal import Glibc

/// A listening socket.
struct HTTPListener: ~Copyable {
  let descriptor: Int32
  /// The port resolved.
  let address: HTTPAddress
  /// To be removed at the end.
  private let path: String?

  init(_ address: HTTPAddress) throws(HTTPError) {
    switch address.kind {
    case .ip4(let host, let port):
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = port.bigEndian
      inet_pton(AF_INET, host, &name.sin_addr)
      descriptor = try Self.listen(AF_INET, &name, socklen_t(MemoryLayout<sockaddr_in>.size), address)
      var bound = sockaddr_in()
      Self.name(descriptor, &bound, MemoryLayout<sockaddr_in>.size)
      var resolved = address
      resolved.kind = .ip4(host, UInt16(bigEndian: bound.sin_port))
      self.address = resolved
      path = nil
    case .ip6(let host, let port):
      var name = sockaddr_in6()
      name.sin6_family = sa_family_t(AF_INET6)
      name.sin6_port = port.bigEndian
      inet_pton(AF_INET6, host, &name.sin6_addr)
      descriptor = try Self.listen(AF_INET6, &name, socklen_t(MemoryLayout<sockaddr_in6>.size), address)
      var bound = sockaddr_in6()
      Self.name(descriptor, &bound, MemoryLayout<sockaddr_in6>.size)
      var resolved = address
      resolved.kind = .ip6(host, UInt16(bigEndian: bound.sin6_port))
      self.address = resolved
      path = nil
    case .unix(let file):
      var name = sockaddr_un()
      name.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: file.utf8) }
      try Self.removeStale(file, &name)
      // Nobody else's from the moment it is there.
      let mask = umask(0o177)
      defer { umask(mask) }
      descriptor = try Self.listen(AF_UNIX, &name, socklen_t(MemoryLayout<sockaddr_un>.size), address)
      self.address = address
      path = file
    }
  }

  deinit {
    close(descriptor)
    if let path { unlink(path) }
  }

  /// - Returns: nil if nobody waits, or none can be taken now.
  func accept() -> Result<Int32, Failure>? {
    // Swift's Glibc has no accept4; no other thread starts programs in between.
    let accepted = Glibc.accept(descriptor, nil, nil)
    if accepted >= 0 {
      _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
      _ = fcntl(accepted, F_SETFL, O_NONBLOCK)
      var one: Int32 = 1
      setsockopt(accepted, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
      return .success(accepted)
    }
    switch errno {
    case EAGAIN: return nil
    // accept(2): errors of the new connection, not of the listener.
    case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
      ENETUNREACH, EPERM:
      return .failure(Failure(isLasting: false))
    default: return .failure(Failure(isLasting: true))
    }
  }

  struct Failure: Error {
    /// Descriptors or memory are short: trying again at once would only spin.
    var isLasting: Bool
  }

  private static func listen<Name>(
    _ family: Int32, _ name: inout Name, _ size: socklen_t, _ address: HTTPAddress
  ) throws(HTTPError) -> Int32 {
    let descriptor = socket(
      family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw .system("socket for \(address)") }
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
    let result = withUnsafeBytes(of: &name) { bytes -> Int32 in
      guard let base = bytes.baseAddress else { return -1 }
      return bind(descriptor, base.assumingMemoryBound(to: sockaddr.self), size)
    }
    guard result == 0, Glibc.listen(descriptor, 128) == 0 else {
      let error = HTTPError.system("cannot listen for HTTP on \(address)")
      close(descriptor)
      throw error
    }
    return descriptor
  }

  private static func name<Name>(_ descriptor: Int32, _ name: inout Name, _ size: Int) {
    var size = socklen_t(size)
    withUnsafeMutableBytes(of: &name) { bytes in
      guard let base = bytes.baseAddress else { return }
      getsockname(descriptor, base.assumingMemoryBound(to: sockaddr.self), &size)
    }
  }

  /// Removes a socket file behind which nobody listens; anything else at this path is left alone, and then cannot be bound.
  private static func removeStale(_ path: String, _ name: inout sockaddr_un) throws(HTTPError) {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return }
    let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard probe >= 0 else { return }
    defer { close(probe) }
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
}
