public import Foundation

/// Where the compilers and the linker are that a guest is built with.
public struct Toolchain: Sendable, Equatable {
  public var swiftc: String
  public var clang: String
  public var linker: String
  /// Folder with the toolchain's own libraries for bare metal, where it is known.
  public var resources: String?

  public init(swiftc: String, clang: String, linker: String, resources: String? = nil) {
    self.swiftc = swiftc
    self.clang = clang
    self.linker = linker
    self.resources = resources
  }

  /// Finds a Swift toolchain: `swiftc` on the search path, and `clang` and `ld.lld` beside the compiler that it really is
  /// (a version manager's `swiftc` is a link to something else), or else on the path as well.
  /// - Parameter path: the search path, as in the variable `PATH`.
  public static func locate(
    path: String = ProcessInfo.processInfo.environment["PATH"] ?? ""
  ) throws(GuestBuildError) -> Toolchain {
    let folders = path.split(separator: ":").map(String.init)
    guard let swiftc = find("swiftc", in: folders) else {
      throw GuestBuildError(
        .toolMissing,
        "there is no swiftc on the PATH; install a Swift toolchain (6.2 or newer, https://www.swift.org/install) to "
          + "build guests")
    }
    let resources = try runtimeResourcePath(of: swiftc)
    let beside = resources.map { URL(filePath: $0).appending(path: "../../bin").standardizedFileURL.path }
    let own = URL(filePath: swiftc).resolvingSymlinksInPath().deletingLastPathComponent().path
    let search = [beside, own].compactMap { $0 } + folders
    guard let clang = find("clang", in: search) else {
      throw GuestBuildError(
        .toolMissing, "there is no clang beside \(swiftc) or on the PATH; it comes with Swift toolchains")
    }
    guard let linker = find("ld.lld", in: search) else {
      throw GuestBuildError(
        .toolMissing, "there is no ld.lld beside \(swiftc) or on the PATH; it comes with Swift toolchains")
    }
    return Toolchain(swiftc: swiftc, clang: clang, linker: linker, resources: resources)
  }

  private static func find(_ tool: String, in folders: [String]) -> String? {
    folders.lazy.map { "\($0)/\(tool)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Where the compiler says that its libraries are, and a check that it runs at all.
  private static func runtimeResourcePath(of swiftc: String) throws(GuestBuildError) -> String? {
    struct Info: Decodable {
      struct Paths: Decodable { var runtimeResourcePath: String? }
      var paths: Paths
    }
    let output = try Tool.run(swiftc, ["-print-target-info"])
    return (try? JSONDecoder().decode(Info.self, from: Data(output.utf8)))?.paths.runtimeResourcePath
  }

  /// What the compiler says that it is.
  public func version() throws(GuestBuildError) -> String { try Tool.run(swiftc, ["--version"]) }

  /// Libraries that an image may take from, as far as this toolchain has them: tables for strings' equality and hashes.
  var bareMetalLibraries: [String] {
    guard let resources else { return [] }
    let library = "\(resources)/embedded/x86_64-unknown-none-elf/libswiftUnicodeDataTables.a"
    return FileManager.default.isReadableFile(atPath: library) ? [library] : []
  }
}

/// Running a compiler or the linker.
enum Tool {
  /// Runs a tool and returns what it wrote, errors included; throws that where it fails.
  @discardableResult
  static func run(_ tool: String, _ arguments: [String]) throws(GuestBuildError) -> String {
    let process = Process()
    process.executableURL = URL(filePath: tool)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardError = output
    process.standardOutput = output
    let text: Data
    do {
      try process.run()
      text = try output.fileHandleForReading.readToEnd() ?? Data()
    } catch {
      throw GuestBuildError(
        .toolMissing, "\(tool) cannot be run; install the Swift toolchain", cause: "\(error)")
    }
    process.waitUntilExit()
    let said = String(decoding: text, as: UTF8.self)
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      throw GuestBuildError(
        .compile, "\(URL(filePath: tool).lastPathComponent) refused the sources", cause: said,
        hint: BuildHint.hint(for: said))
    }
    return said
  }
}
