import Glibc

/// How many file descriptors this process may have open. A sandbox takes two, and the usual soft limit of 1024 is less
/// than a machine has room for.
public enum FileDescriptorLimit {
  /// Raises the soft limit to the hard one. Returns the limit that then holds.
  @discardableResult
  public static func raise() -> UInt64 {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1024 }
    if limit.rlim_cur < limit.rlim_max {
      var raised = limit
      raised.rlim_cur = limit.rlim_max
      if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
    }
    return UInt64(limit.rlim_cur)
  }
}
