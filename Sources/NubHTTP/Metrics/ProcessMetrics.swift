internal import Glibc

/// The process as the kernel sees it, under the names that Prometheus' own libraries use. Read at each scrape from proc(5).
enum ProcessMetrics {
  static func write(to writer: inout ExpositionWriter) {
    let tick = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
    // The second field is the program's name in parentheses and may hold anything; the rest begins behind the last of them.
    if let text = read("/proc/self/stat"), let end = text.lastIndex(of: ")") {
      let fields = text[text.index(after: end)...].split(separator: " ")
      func field(_ number: Int) -> Double { number - 3 < fields.count ? Double(fields[number - 3]) ?? 0 : 0 }
      writer.counter("process_cpu_seconds_total", (field(14) + field(15)) / tick)
      writer.gauge("process_threads", field(20))
      writer.gauge("process_virtual_memory_bytes", field(23))
      writer.gauge("process_resident_memory_bytes", field(24) * Double(max(1, sysconf(Int32(_SC_PAGESIZE)))))
      if let boot = bootTime() { writer.gauge("process_start_time_seconds", boot + field(22) / tick) }
    }
    if let count = openDescriptors() { writer.gauge("process_open_fds", count) }
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      writer.gauge("process_max_fds", UInt64(limit.rlim_cur))
    }
  }

  /// Resident bytes; nil where the kernel does not say.
  static var residentBytes: Int? {
    guard let fields = read("/proc/self/statm")?.split(separator: " "), fields.count > 1 else { return nil }
    return Int(fields[1]).map { $0 * max(1, sysconf(Int32(_SC_PAGESIZE))) }
  }

  private static func bootTime() -> Double? {
    guard let line = read("/proc/stat")?.split(separator: "\n").first(where: { $0.hasPrefix("btime ") })
    else {
      return nil
    }
    return Double(line.dropFirst(6))
  }

  private static func openDescriptors() -> Int? {
    guard let directory = opendir("/proc/self/fd") else { return nil }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    // Without `.`, `..` and the directory itself.
    return max(0, count - 3)
  }

  private static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while bytes.count < 1 << 20 {
      let count = Glibc.read(descriptor, &buffer, buffer.count)
      guard count > 0 else { break }
      bytes.append(contentsOf: buffer[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
