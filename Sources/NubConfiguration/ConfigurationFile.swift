internal import Glibc
internal import NubJSON

/// A file of settings: one JSON object, a setting's name for each key.
struct ConfigurationFile {
  static let maximumBytes = 1 << 20

  let path: String
  /// Each key, and its value as it is written.
  let members: [(key: String, value: WrittenValue)]

  init(path: String) throws(SettingError) {
    self.path = path
    let bytes = try Self.read(path)
    var scanner = JSONScanner()
    do throws(JSONError) {
      members = try Self.members(of: bytes, &scanner)
    } catch {
      let line = 1 + bytes.prefix(scanner.position).count { $0 == UInt8(ascii: "\n") }
      throw SettingError(
        .unreadableFile, "the configuration file \(path) is not valid: line \(line): \(error.message)")
    }
  }

  private static func members(
    of bytes: [UInt8], _ scanner: inout JSONScanner
  ) throws(JSONError) -> [(key: String, value: WrittenValue)] {
    var members: [(key: String, value: WrittenValue)] = []
    var keys: Set<String> = []
    let text = bytes.span.bytes
    try scanner.object(in: text) { (scanner) throws(JSONError) in
      var key: [UInt8] = []
      try scanner.key(in: text) { piece in piece.withUnsafeBytes { key.append(contentsOf: $0) } }
      let name = String(decoding: key, as: UTF8.self)
      guard keys.insert(name).inserted else { throw JSONError("\"\(name)\" occurs twice") }
      let start = scanner.position
      try scanner.skipValue(in: text, depth: 1)
      members.append((name, WrittenValue(bytes: Array(bytes[start..<scanner.position]))))
    }
    return members
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
