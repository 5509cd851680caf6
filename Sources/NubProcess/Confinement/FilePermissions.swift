internal import Glibc

/// Looks at the permissions of a file to be and of its folder, for words that say what to do.
public enum FilePermissions {
  /// - Throws: code `configuration` where the folder of `path` is somebody else's, and this process may not write there.
  public static func checkFolder(of path: String) throws(ProcessError) {
    let folder = folder(of: path)
    guard access(folder, W_OK | X_OK) != 0, errno == EACCES else { return }
    var status = stat()
    guard stat(folder, &status) == 0 else { return }
    throw ProcessError(
      .configuration,
      "the folder \(folder) of the store belongs to \(name(status.st_uid)), and this process is \(name(geteuid())): "
        + "chown \(name(geteuid())) \(folder)")
  }

  /// A sentence about a file that group or others may read or write; nil where there is none.
  public static func exposure(of path: String) -> String? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 != 0 else {
      return nil
    }
    let mode = "0" + String(status.st_mode & 0o777, radix: 8)
    return "\(path) has mode \(mode): others may touch every tenant's data; chmod 600 \(path)"
  }

  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private static func name(_ user: uid_t) -> String {
    getpwuid(user).map { String(cString: $0.pointee.pw_name) } ?? "\(user)"
  }
}
