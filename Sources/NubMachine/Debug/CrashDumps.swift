import Foundation

/// Where crash dumps go and how much room they may take.
///
/// A dump holds everything that a guest had in memory, a tenant's data included: the files are readable by their owner
/// alone, and nothing is written unless a directory is named.
public struct CrashDumpConfiguration: Sendable, Equatable {
  /// An existing directory.
  public var directory: String
  /// The most bytes of one dump. What matters most goes in first: registers, stack, the image's data.
  public var sizeLimit: UInt64 = 256 << 20
  /// How many dumps are kept; the oldest go.
  public var keep = 16

  /// Dumps of a guest's faults and aborts in `directory`, 16 of at most 256 MiB.
  public init(directory: String) { self.directory = directory }

  func validate() throws(MachineError) {
    var isDirectory: ObjCBool = false
    guard unsafe FileManager.default.fileExists(atPath: directory, isDirectory: &isDirectory),
      isDirectory.boolValue,
      FileManager.default.isWritableFile(atPath: directory)
    else {
      throw MachineError(
        .configurationInvalid, "\(directory) is not a directory that crash dumps can be written to")
    }
    guard sizeLimit >= 1 << 20 else {
      throw MachineError(.configurationInvalid, "sizeLimit of crash dumps is \(sizeLimit); at least 1 MiB")
    }
    guard keep >= 1, keep <= 100_000 else {
      throw MachineError(.configurationInvalid, "keep of crash dumps is \(keep); 1 to 100000")
    }
  }

  // Only files that look like this are ever deleted.
  private static let prefix = "nub-guest-"
  private static let suffix = ".core"
  /// Between a dump's name and the number of the process that is writing it.
  static let draftSuffix = ".partial-"

  /// The path of a new dump in the directory. Names sort by time.
  public func newPath(sandbox: UInt64) -> String {
    let time = Int64(Date().timeIntervalSince1970 * 1_000_000)
    return "\(directory)/\(Self.prefix)\(time)-\(getpid())-\(sandbox)\(Self.suffix)"
  }

  /// Deletes the oldest dumps beyond ``keep``, and what a process that died left half written.
  public func prune() {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: directory) else { return }
    let own = names.filter { $0.hasPrefix(Self.prefix) }.sorted()
    for name in own.filter({ $0.hasSuffix(Self.suffix) }).dropLast(keep) {
      unsafe unlink("\(directory)/\(name)")
    }
    for name in own where isAbandoned(name) { unsafe unlink("\(directory)/\(name)") }
  }

  private func isAbandoned(_ name: String) -> Bool {
    let parts = name.components(separatedBy: Self.draftSuffix)
    guard parts.count == 2, parts[0].hasSuffix(Self.suffix), let process = Int32(parts[1]), process > 0 else {
      return false
    }
    return kill(process, 0) != 0 && errno == ESRCH
  }
}

/// A crash dump that has been written.
public struct CrashDump: Sendable, Equatable {
  /// Where it is.
  public var path: String
  /// Bytes of the file.
  public var size: UInt64
  /// True where the size limit left some memory out.
  public var isTruncated: Bool
}
