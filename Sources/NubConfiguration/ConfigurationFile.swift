internal import Glibc

/// A file of settings: one JSON object, a setting's name for each key.
struct ConfigurationFile {
  static let maximumBytes = 1 << 20

  let path: String
  let members: [(key: String, value: JSONValue)]

  init(path: String) throws(SettingError) {
    self.path = path
    let bytes = try Self.read(path)
    do throws(JSONFault) {
      members = try JSONReader.members(of: bytes)
    } catch {
      throw SettingError(
        .unreadableFile, "the configuration file \(path) is not valid: line \(error.line): \(error.reason)")
    }
  }

  private static func read(_ path: String) throws(SettingError) -> [UInt8] {
    func failure(_ reason: String) -> SettingError {
      SettingError(.unreadableFile, "the configuration file \(path) cannot be read: \(reason)")
    }
    // O_NONBLOCK: a FIFO must not make the start wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure(String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(String(cString: strerror(errno))) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure("it is not a regular file") }
    guard status.st_size <= maximumBytes else { throw failure("it has more than \(maximumBytes) bytes") }
    var bytes = [UInt8](repeating: 0, count: maximumBytes)
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, $0.count - count)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw failure(String(cString: strerror(errno))) }
      if got == 0 { break }
      count += got
    }
    return Array(bytes.prefix(count))
  }
}
