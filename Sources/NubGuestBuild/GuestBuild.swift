public import Foundation
public import NubELF

/// Builds a guest image: nub's own modules for bare metal, then the author's sources, then the function table made from
/// the symbols `nub_fn_<id>_<name>`, then one static ELF.
///
/// The same code builds nub's own image while the package builds, and an author's with `nub guest build`.
public struct GuestBuild {
  /// Where the compilers are.
  public struct Toolchain {
    public var swiftc: String
    public var clang: String
    public var linker: String
    public init(swiftc: String, clang: String, linker: String) {
      self.swiftc = swiftc
      self.clang = clang
      self.linker = linker
    }
  }

  public var toolchain: Toolchain
  /// The folder `Sources` of nub, or a copy of the parts of it that the guest is made of.
  public var kit: URL
  /// Scratch folder for objects and modules.
  public var scratch: URL
  public var keepsDebugInfo = false

  public init(toolchain: Toolchain, kit: URL, scratch: URL) {
    self.toolchain = toolchain
    self.kit = kit
    self.scratch = scratch
  }

  /// The folders under `Sources` that an image is made of.
  public static let kitFolders = ["CNubABI", "CNubCPU", "CNubGuest", "NubABI", "NubCap", "NubGuest"]

  /// Compiles and links; returns the image.
  /// - Parameter sources: the author's `.swift` and `.c` files.
  public func build(sources: [URL]) throws(GuestBuildError) -> ELFFile {
    do {
      try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    } catch {
      throw GuestBuildError(.files, "the scratch folder \(scratch.path) cannot be made", cause: "\(error)")
    }
    var objects: [URL] = []
    objects.append(try swift("NubCap", try files(in: "NubCap")))
    objects.append(try swift("NubABI", try files(in: "NubABI")))
    objects.append(
      try swift(
        "NubGuestKit",
        try files(in: "NubGuest/Kit")
          + files(in: "NubGuest/Functions").filter { $0.lastPathComponent != "Examples.swift" }))
    objects.append(try swift("NubGuestImage", [kit.appending(path: "NubGuest/Image/Entry.swift")]))
    objects.append(try c(kit.appending(path: "NubGuest/Image/memory.c"), freestanding: true))

    let swiftSources = sources.filter { $0.pathExtension == "swift" }
    if !swiftSources.isEmpty { objects.append(try swift("GuestFunctions", swiftSources)) }
    for source in sources where source.pathExtension == "c" {
      objects.append(try c(source, freestanding: false))
    }

    let table = scratch.appending(path: "function_table.c")
    try write(try FunctionTableSource.generate(from: objects), to: table)
    objects.append(try c(table, freestanding: true))

    let image = scratch.appending(path: "image.elf")
    try run(
      toolchain.linker,
      [
        "-static", "-nostdlib", "--gc-sections", "-z", "noexecstack", "--build-id=none", "-T",
        kit.appending(path: "NubGuest/Image/image.ld").path, "-o", image.path,
      ] + objects.map(\.path))
    do {
      return try ELFFile([UInt8](Data(contentsOf: image)))
    } catch {
      throw GuestBuildError(.files, "the linked image cannot be read", cause: "\(error)")
    }
  }

  private var includes: [String] {
    ["CNubABI", "CNubCPU", "CNubGuest"].map { kit.appending(path: "\($0)/include").path }
  }

  private func files(in folder: String) throws(GuestBuildError) -> [URL] {
    do {
      return try FileManager.default.contentsOfDirectory(
        at: kit.appending(path: folder), includingPropertiesForKeys: nil
      ).filter { $0.pathExtension == "swift" }.sorted { $0.path < $1.path }
    } catch {
      throw GuestBuildError(.files, "\(folder) of the guest's sources cannot be listed", cause: "\(error)")
    }
  }

  private func swift(_ module: String, _ sources: [URL]) throws(GuestBuildError) -> URL {
    let object = scratch.appending(path: "\(module).o")
    var arguments = [
      "-target", "x86_64-unknown-none-elf", "-enable-experimental-feature", "Embedded",
      "-enable-experimental-feature", "Extern", "-enable-experimental-feature", "Lifetimes",
      "-enable-upcoming-feature", "ExistentialAny",
      "-enable-upcoming-feature", "InternalImportsByDefault", "-swift-version", "6", "-wmo", "-O",
      "-enforce-exclusivity=unchecked", "-parse-as-library", "-module-name", module, "-module-cache-path",
      scratch.appending(path: "modules").path, "-I", scratch.path, "-Xcc", "-march=x86-64-v2", "-Xcc",
      "-ffreestanding",
      "-Xcc", "-fno-stack-protector", "-disable-stack-protector", "-Xfrontend", "-function-sections",
      "-emit-module", "-emit-module-path",
      scratch.appending(path: "\(module).swiftmodule").path, "-c", "-o", object.path,
    ]
    if keepsDebugInfo { arguments.append("-g") }
    for include in includes { arguments += ["-I", include] }
    try run(toolchain.swiftc, arguments + sources.map(\.path))
    return object
  }

  private func c(_ source: URL, freestanding: Bool) throws(GuestBuildError) -> URL {
    let object = scratch.appending(path: source.deletingPathExtension().lastPathComponent + ".c.o")
    var arguments = [
      "-target", "x86_64-unknown-none-elf", "-march=x86-64-v2", "-O2", "-std=c17", "-Wall", "-ffreestanding",
      "-fno-stack-protector", "-fno-pic", "-ffunction-sections", "-fdata-sections", "-c", source.path, "-o",
      object.path,
    ]
    if freestanding { arguments.append("-fno-builtin") }
    if keepsDebugInfo { arguments.append("-g") }
    for include in includes { arguments += ["-I", include] }
    try run(toolchain.clang, arguments)
    return object
  }

  private func write(_ text: String, to file: URL) throws(GuestBuildError) {
    do {
      try text.write(to: file, atomically: true, encoding: .utf8)
    } catch {
      throw GuestBuildError(.files, "\(file.path) cannot be written", cause: "\(error)")
    }
  }

  /// Runs a compiler; its diagnostics go into the error.
  private func run(_ tool: String, _ arguments: [String]) throws(GuestBuildError) {
    let process = Process()
    process.executableURL = URL(filePath: tool)
    process.arguments = arguments
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
    guard process.terminationStatus == 0 else {
      throw GuestBuildError(.compile, "\(tool) failed", cause: String(decoding: text, as: UTF8.self))
    }
  }
}

/// Why an image could not be built.
public struct GuestBuildError: Error, CustomStringConvertible {
  public enum Code: Sendable {
    case toolMissing
    case files
    /// A compiler or the linker refused the sources; the cause is what it said.
    case compile
    /// Function names or ids that do not fit together.
    case functions
  }
  public var code: Code
  public var message: String
  public var cause: String?

  init(_ code: Code, _ message: String, cause: String? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String { cause.map { "\(message)\n\($0)" } ?? message }
}
