internal import Glibc

/// Small text files of keys, read and written with the care they need.
enum SmallFile {
  /// Key files have a few lines; anything larger is something else.
  static let maximumBytes = 4_096

  /// Who may touch the file, beside its owner.
  enum Exposure {
    /// Group and others may neither read nor write: for secrets.
    case secret
    /// Group and others may not write.
    case authority

    var forbidden: mode_t { self == .secret ? 0o077 : 0o022 }
    var advice: String { self == .secret ? "chmod 600" : "chmod go-w" }
  }

  /// The text of a regular file of at most ``maximumBytes``.
  static func read(_ path: String, _ exposure: Exposure) throws(SecurityError) -> String {
    // O_NONBLOCK: opening a FIFO that somebody left there must not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure("cannot open", path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("cannot examine", path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw SecurityError(.malformed, "\(path) is not a regular file")
    }
    // The opened file is asked, not the path: nothing can be exchanged in between.
    guard status.st_mode & exposure.forbidden == 0 else {
      throw SecurityError(
        .exposed, "\(path) has mode \(octal(status.st_mode)): others may touch it; \(exposure.advice) \(path)"
      )
    }
    guard status.st_uid == geteuid() || status.st_uid == 0 else {
      throw SecurityError(
        .exposed, "\(path) belongs to user \(status.st_uid), neither to this one nor to root")
    }
    var bytes = [UInt8](repeating: 0, count: maximumBytes + 1)
    var count = 0
    while count < bytes.count {
      let got = bytes.withUnsafeMutableBytes {
        Glibc.read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
      }
      if got < 0 {
        if errno == EINTR { continue }
        throw failure("cannot read", path)
      }
      if got == 0 { break }
      count += got
    }
    guard count <= maximumBytes else {
      throw SecurityError(.malformed, "\(path) has more than \(maximumBytes) bytes: not a key file")
    }
    // Not repaired: two names that are no text would become one.
    guard let text = String(validating: bytes.prefix(count), as: UTF8.self) else {
      throw SecurityError(.malformed, "\(path) is not text (UTF-8)")
    }
    return text
  }

  /// Writes a new file with exactly `mode`, durable when this returns; never touches one that exists.
  static func create(_ path: String, mode: mode_t, _ text: String) throws(SecurityError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw failure("cannot create", path) }
    defer { close(descriptor) }
    // The umask may have taken bits away from open's mode, never added any; it is empty, so nothing was exposed.
    guard fchmod(descriptor, mode) == 0 else { throw failure("cannot set the mode of", path) }
    let bytes = Array(text.utf8)
    var count = 0
    while count < bytes.count {
      let put = bytes.withUnsafeBytes {
        write(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
      }
      if put < 0 {
        if errno == EINTR { continue }
        throw failure("cannot write", path)
      }
      count += put
    }
    guard fsync(descriptor) == 0 else { throw failure("cannot write", path) }
  }

  static func failure(_ what: String, _ path: String) -> SecurityError {
    let number = errno
    return SecurityError(.file, "\(what) \(path): \(String(cString: strerror(number)))")
  }

  private static func octal(_ mode: mode_t) -> String { "0" + String(mode & 0o777, radix: 8) }
}

/// The lines of a key file: `name = value`, one each; empty lines and those that start with `#` say nothing.
///
/// A `#` further on is part of the value: it is a digit of Z85.
struct KeyLines {
  private(set) var values: [String: String] = [:]

  /// - Parameter allowed: the names that may occur; an unknown one is refused, because a misspelt restriction is none.
  init(_ text: String, path: String, allowed: Set<String>) throws(SecurityError) {
    for line in text.split(whereSeparator: \.isNewline) {
      let line = Self.trim(line)
      if line.isEmpty || line.hasPrefix("#") { continue }
      guard let equals = line.firstIndex(of: "=") else {
        throw SecurityError(.malformed, "\(path): a line is not of the form \"name = value\"")
      }
      let name = String(Self.trim(line[..<equals]))
      guard allowed.contains(name) else {
        throw SecurityError(
          .malformed,
          "\(path): unknown name \"\(name.prefix(64))\"; known are \(allowed.sorted().joined(separator: ", "))"
        )
      }
      guard values.updateValue(String(Self.trim(line[line.index(after: equals)...])), forKey: name) == nil
      else {
        throw SecurityError(.malformed, "\(path): \"\(name)\" occurs twice")
      }
    }
  }

  private static func trim(_ text: Substring) -> Substring {
    var text = text
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return text
  }
}
