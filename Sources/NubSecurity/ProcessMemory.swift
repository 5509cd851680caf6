internal import CZeroMQ
internal import Glibc

/// What the process holds, and what there is.
public enum ProcessMemory {
  /// Resident bytes (proc(5), statm); 0 where the kernel does not say.
  public static var resident: Int {
    guard let text = firstLine("/proc/self/statm") else { return 0 }
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * max(1, sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  /// Bytes that this process can have: the machine's memory, or less where its control group is bounded.
  public static var available: Int {
    let machine = max(1, sysconf(Int32(_SC_PHYS_PAGES))) * max(1, sysconf(Int32(_SC_PAGESIZE)))
    // In a container the group is the root; in a unit of systemd's it is named in /proc (cgroups(7), version 2).
    let group = firstLine("/proc/self/cgroup").map { String($0.drop { $0 != "/" }) } ?? "/"
    return min(machine, bound(ofGroup: group) ?? machine)
  }

  /// The least that a control group, or one that it is in, may have; nil where none is bounded.
  static func bound(ofGroup group: String, in root: String = "/sys/fs/cgroup") -> Int? {
    var path = root
    let folders =
      [root]
      + group.split(separator: "/").map { name in
        path += "/\(name)"
        return path
      }
    return folders.compactMap { firstLine("\($0)/memory.max").flatMap { Int($0) } }.min()
  }

  /// The limit of a process that was not told one: what is beyond it is left to everybody else.
  public static var defaultLimit: Int { available / 4 * 3 }

  /// Gives memory that is free in the allocator back to the system.
  public static func trim() { malloc_trim(0) }

  private static func firstLine(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4_096)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }
}
