import Foundation
import Glibc

/// A process that takes part in a figure. It is killed and reaped when its handle goes away.
///
/// One thread uses it.
struct ChildProcess: ~Copyable {
  let pid: pid_t
  private let name: String
  private let output: Int32
  private let log: String?
  private var isReaped = false

  /// - Parameters:
  ///   - log: a file for what the process says on standard error; nil lets it through.
  init(_ executable: String, _ arguments: [String], log: String? = nil) throws(BenchError) {
    var pipes: [Int32] = [-1, -1]
    guard pipe(&pipes) == 0 else {
      throw BenchError(.unavailable, "no pipe: \(String(cString: strerror(errno)))")
    }
    // Not for the children: a reader's end is reached only when nobody holds the other one.
    for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
    if let log { posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o644) }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // A thread of a pool has every signal blocked, and a child would inherit that.
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    var words: [UnsafeMutablePointer<CChar>?] = ([executable] + arguments).map { strdup($0) }
    defer { for word in words { free(word) } }
    words.append(nil)
    var child = pid_t()
    let result = posix_spawn(&child, executable, &actions, &attributes, &words, environ)
    close(pipes[1])
    guard result == 0 else {
      close(pipes[0])
      throw BenchError(.process, "cannot start \(executable): \(String(cString: strerror(result)))")
    }
    pid = child
    output = pipes[0]
    name = ([(executable as NSString).lastPathComponent] + arguments.prefix(2)).joined(separator: " ")
    self.log = log
  }

  deinit {
    close(output)
    if !isReaped {
      kill(pid, SIGKILL)
      var status: Int32 = 0
      while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }
  }

  /// CPU seconds used so far.
  var cpu: Double { cpuSeconds(of: pid) ?? 0 }

  /// Resident memory in MiB: now, and at its highest.
  var memory: (now: Double, peak: Double) { residentMiB(of: pid) }

  /// Waits for its end.
  /// - Returns: what it wrote to standard output.
  /// - Throws: where it did not end with 0; the message has the end of its log.
  mutating func finish() throws(BenchError) -> Data {
    let data = FileHandle(fileDescriptor: output, closeOnDealloc: false).readDataToEndOfFile()
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    isReaped = true
    guard status == 0 else {
      let said = log.flatMap { try? String(contentsOfFile: $0, encoding: .utf8) } ?? ""
      throw BenchError(
        .process, "\(name) ended with status \(status >> 8) (signal \(status & 0x7f)). \(said.suffix(600))")
    }
    return data
  }
}

/// The numbers of one JSON object that a process prints.
struct ProcessNumbers {
  let values: [String: Double]
  let source: String

  init(_ data: Data, from source: String) throws(BenchError) {
    do {
      values = try JSONDecoder().decode([String: Double].self, from: data)
    } catch {
      throw BenchError(
        .process, "\(source) printed no JSON object of numbers: \(String(decoding: data, as: UTF8.self))")
    }
    self.source = source
  }

  func number(_ key: String) throws(BenchError) -> Double {
    guard let value = values[key] else { throw BenchError(.process, "\(source) printed no \"\(key)\"") }
    return value
  }
}

/// Runs a program to its end and reads its numbers.
func runForNumbers(_ executable: String, _ arguments: [String]) throws(BenchError) -> ProcessNumbers {
  var process = try ChildProcess(executable, arguments)
  return try ProcessNumbers(try process.finish(), from: (executable as NSString).lastPathComponent)
}

/// Resident memory of a process in MiB: now, and at its highest; zeros if it is gone.
func residentMiB(of process: pid_t) -> (now: Double, peak: Double) {
  guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else {
    return (0, 0)
  }
  func kibibytes(_ key: String) -> Double {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(key) }) else { return 0 }
    return Double(line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first ?? "0") ?? 0
  }
  return (kibibytes("VmRSS:") / 1024, kibibytes("VmHWM:") / 1024)
}
