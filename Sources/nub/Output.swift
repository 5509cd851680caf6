import ArgumentParser
import Foundation
import Glibc

/// Writing to the standard streams.
enum Output {
  /// Bytes to standard output, all of them or exit: a reader that has gone (a closed pipe) ends the program quietly.
  static func write(_ bytes: [UInt8]) throws {
    var start = 0
    while start < bytes.count {
      let written = bytes.withUnsafeBytes {
        Glibc.write(STDOUT_FILENO, $0.baseAddress.map { $0 + start }, bytes.count - start)
      }
      if written < 0 {
        if errno == EINTR { continue }
        if errno == EPIPE { throw ExitCode(0) }
        throw CommandFailure("standard output cannot be written: \(String(cString: strerror(errno)))")
      }
      start += written
    }
  }

  /// A line, or lines. A terminal gets nothing that controls it, whoever chose the text; a program gets every character.
  static func line(_ text: String) throws {
    try write(Array(((isTerminal ? TerminalText.printableLines(text) : text) + "\n").utf8))
  }

  static func error(_ text: String) {
    let text = errorIsTerminal ? TerminalText.printableLines(text) : text
    FileHandle.standardError.write(Data((text + "\n").utf8))
  }

  static var isTerminal: Bool { isatty(STDOUT_FILENO) != 0 }

  /// Columns of the terminal on standard output; nil where it is none.
  static var terminalWidth: Int? {
    guard isTerminal else { return nil }
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  static var errorIsTerminal: Bool { isatty(STDERR_FILENO) != 0 }

  /// A line on a terminal's standard error that replaces itself; nothing elsewhere.
  static func progress(_ text: String) {
    guard errorIsTerminal else { return }
    FileHandle.standardError.write(Data("\r\u{1B}[K\(TerminalText.printable(text))".utf8))
  }

  static func endProgress() {
    guard errorIsTerminal else { return }
    FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
  }
}

/// A failure whose message is all that the user needs; exit status 1.
struct CommandFailure: Error, CustomStringConvertible, LocalizedError {
  var description: String
  init(_ description: String) {
    self.description = Output.errorIsTerminal ? TerminalText.printableLines(description) : description
  }
  var errorDescription: String? { description }
}

/// Bytes as lower-case hexadecimal digits, and back.
enum Hex {
  static func encode(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Nil where the text is not pairs of hexadecimal digits.
  static func decode(_ text: String) -> [UInt8]? {
    let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count % 2 == 0, !digits.contains(nil) else { return nil }
    return stride(from: 0, to: digits.count, by: 2).compactMap { index in
      guard let high = digits[index], let low = digits[index + 1] else { return nil }
      return UInt8(high << 4 | low)
    }
  }
}

/// Reads a whole file, `-` being standard input.
func readFile(_ path: String, limit: Int) throws -> [UInt8] {
  func failure() -> CommandFailure {
    CommandFailure("\(path) cannot be read: \(String(cString: strerror(errno)))")
  }
  let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw failure() }
  defer { if descriptor != STDIN_FILENO { close(descriptor) } }
  var bytes: [UInt8] = []
  let part = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
  defer { part.deallocate() }
  // One byte more than allowed tells too large from just large enough without reading all of it.
  while bytes.count <= limit {
    let count = read(descriptor, part.baseAddress, min(part.count, limit + 1 - bytes.count))
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { throw failure() }
    if count == 0 { return bytes }
    bytes.append(contentsOf: part[..<count])
  }
  throw CommandFailure("\(path) is larger than the limit of \(limit) bytes")
}

/// The largest body that a worker takes unless configured otherwise (protocol: 16 MiB + 64 KiB).
let defaultBodyLimit = (16 << 20) + (64 << 10)
