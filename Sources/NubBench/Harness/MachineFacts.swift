import Foundation
import Glibc

/// What has to be known to compare figures: they mean nothing without their machine.
public struct MachineFacts: Sendable, Encodable {
  public let processor: String
  public let cores: Int
  public let memoryGiB: Double
  public let kernel: String
  public let system: String
  /// The KVM module in use, `none` where there is no device.
  public let kvm: String
  /// Of the folder in which stores are made.
  public let fileSystem: String
  public let libzmq: String
  /// Runnable processes per core at the start: other work disturbs figures.
  public let load: Double
  public let date: String

  public init(scratch: String) {
    processor = MachineFacts.value(of: "model name", in: "/proc/cpuinfo") ?? "unknown"
    cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    let pages = Double(sysconf(Int32(_SC_PHYS_PAGES))) * Double(sysconf(Int32(_SC_PAGESIZE)))
    memoryGiB = (pages / 1_073_741_824 * 10).rounded() / 10
    kernel = MachineFacts.text("/proc/sys/kernel/osrelease") ?? "unknown"
    let release = MachineFacts.text("/etc/os-release") ?? ""
    system =
      release.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
      .map { $0.dropFirst(12).filter { $0 != "\"" } } ?? "Linux"
    kvm = MachineFacts.kvmModule()
    fileSystem = MachineFacts.fileSystem(of: scratch)
    libzmq = LoadSocket.libraryVersion
    load = (Double(MachineFacts.text("/proc/loadavg")?.split(separator: " ").first ?? "0") ?? 0)
    date = ISO8601DateFormatter().string(from: Date())
  }

  /// One line for a person.
  public var summary: String {
    "\(cores) cores of \(processor), \(memoryGiB) GiB, \(system), Linux \(kernel), KVM: \(kvm), store on \(fileSystem), "
      + "libzmq \(libzmq), load \(load) at the start, \(date)"
  }

  private static func text(_ path: String) -> String? {
    (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  private static func value(of key: String, in path: String) -> String? {
    guard let line = text(path)?.split(separator: "\n").first(where: { $0.hasPrefix(key) }) else {
      return nil
    }
    return line.split(separator: ":", maxSplits: 1).last?.trimmingCharacters(in: .whitespaces)
  }

  private static func kvmModule() -> String {
    guard access("/dev/kvm", R_OK | W_OK) == 0 else { return "none" }
    let names = ["kvm_intel", "kvm_amd", "kvm_pvm"]
    return names.first { access("/sys/module/\($0)", F_OK) == 0 } ?? "unknown module"
  }

  /// The type of the mount that holds the path: the longest mount point that is a prefix of it.
  private static func fileSystem(of path: String) -> String {
    let resolved = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    var best = (length: -1, type: "unknown file system")
    for line in (text("/proc/mounts") ?? "").split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count > 2 else { continue }
      let point = String(fields[1])
      let isParent = resolved == point || resolved.hasPrefix(point.hasSuffix("/") ? point : point + "/")
      if isParent, point.count >= best.length { best = (point.count, String(fields[2])) }
    }
    return best.type
  }
}
