public import Foundation
public import NubELF

/// Builds a guest image: nub's own modules for bare metal, then the author's sources, then the function table made from
/// the symbols `nub_fn_<id>_<name>`, then one static ELF.
///
/// The same code builds nub's own image while the package builds, and an author's with `nub guest build`.
public struct GuestBuild {
  public var toolchain: Toolchain
  /// The folder `Sources` of nub, or a copy of the parts of it that the guest is made of.
  public var kit: URL
  /// Folder for the kit's own objects and modules. ``buildKit()`` fills it; after that it can serve many images.
  public var kitObjects: URL
  /// Scratch folder for the author's objects.
  public var scratch: URL
  /// DWARF for debuggers in the image. It is never loaded into a sandbox.
  public var keepsDebugInfo = false
  /// Off for authors: another toolchain may warn of what this one does not.
  public var warningsAreErrors = false

  public typealias Toolchain = NubGuestBuild.Toolchain

  /// - Parameter kitObjects: nil for a folder in `scratch`.
  public init(toolchain: Toolchain, kit: URL, kitObjects: URL? = nil, scratch: URL) {
    self.toolchain = toolchain
    self.kit = kit
    self.kitObjects = kitObjects ?? scratch.appending(path: "kit")
    self.scratch = scratch
  }

  /// Counted up when the compilers' options below change: what is cached of a kit was built with others.
  public static let revision = 2

  /// The folders under `Sources` that an image is made of.
  public static let kitFolders = ["CNubABI", "CNubCPU", "CNubGuest", "NubABI", "NubCap", "NubGuest"]
  /// Of those folders, the files that an image is made of.
  public static let kitExtensions: Set<String> = ["swift", "c", "h", "ld", "modulemap"]
  /// nub's own example functions lie beside the kit and are no part of an author's image.
  public static let exampleFile = "NubGuest/Functions/Examples.swift"

  /// What a build made.
  public struct Result {
    public var image: ELFFile
    /// The compilers' warnings about the author's sources; empty where there are none.
    public var diagnostics: String

    /// The image's file.
    public var bytes: [UInt8] { image.bytes }
  }

  /// Compiles nub's own part. Once it is there, any number of images can be built on it.
  public func buildKit() throws(GuestBuildError) {
    try makeFolder(kitObjects)
    try swift("NubCap", try files(in: "NubCap"), into: kitObjects)
    try swift("NubABI", try files(in: "NubABI"), into: kitObjects)
    let examples = kit.appending(path: GuestBuild.exampleFile).lastPathComponent
    try swift(
      "NubGuestKit",
      try files(in: "NubGuest/Kit")
        + files(in: "NubGuest/Functions").filter { $0.lastPathComponent != examples },
      into: kitObjects)
    try swift("NubGuestImage", [kit.appending(path: "NubGuest/Image/Entry.swift")], into: kitObjects)
    try c(kit.appending(path: "NubGuest/Image/memory.c"), as: "memory", into: kitObjects, freestanding: true)
  }

  private static let kitParts = ["NubCap", "NubABI", "NubGuestKit", "NubGuestImage", "memory"]

  /// Compiles the author's sources and links the image; the kit first, where its folder has none.
  /// - Parameters:
  ///   - sources: the author's `.swift` files, which make one module, and `.c` files.
  ///   - includes: folders that are searched for headers and module maps.
  public func build(sources: [URL], includes: [URL] = []) throws(GuestBuildError) -> Result {
    try makeFolder(scratch)
    let isThere = GuestBuild.kitParts.allSatisfy { part in
      FileManager.default.fileExists(atPath: kitObjects.appending(path: "\(part).o").path)
    }
    if !isThere { try buildKit() }
    var author: [URL] = []
    var diagnostics = ""
    let swiftSources = sources.filter { $0.pathExtension == "swift" }
    if !swiftSources.isEmpty {
      diagnostics += try swift("GuestFunctions", swiftSources, into: scratch, includes: includes)
      author.append(scratch.appending(path: "GuestFunctions.o"))
    }
    for (index, source) in sources.filter({ $0.pathExtension == "c" }).enumerated() {
      // Numbered, because files of two folders may have the same name.
      let name = "\(index)-\(source.deletingPathExtension().lastPathComponent).c"
      diagnostics += try c(source, as: name, into: scratch, freestanding: false, includes: includes)
      author.append(scratch.appending(path: "\(name).o"))
    }

    let kitParts = GuestBuild.kitParts.map { kitObjects.appending(path: "\($0).o") }
    let table = scratch.appending(path: "function_table.c")
    try write(try FunctionTableSource(kit: kitParts, author: author).text, to: table)
    try c(table, as: "function_table", into: scratch, freestanding: true)

    let image = scratch.appending(path: "image.elf")
    let objects = kitParts + author + [scratch.appending(path: "function_table.o")]
    try Tool.run(
      toolchain.linker,
      [
        "-static", "-nostdlib", "--gc-sections", "-z", "noexecstack", "--build-id=none", "-T",
        kit.appending(path: "NubGuest/Image/image.ld").path, "-o", image.path,
      ] + objects.map(\.path) + toolchain.bareMetalLibraries)
    do {
      return Result(image: try ELFFile([UInt8](Data(contentsOf: image))), diagnostics: diagnostics)
    } catch {
      throw GuestBuildError(.files, "the linked image cannot be read", cause: "\(error)")
    }
  }

  private var kitIncludes: [URL] {
    ["CNubABI", "CNubCPU", "CNubGuest"].map { kit.appending(path: "\($0)/include") }
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

  @discardableResult
  private func swift(
    _ module: String, _ sources: [URL], into folder: URL, includes: [URL] = []
  ) throws(GuestBuildError) -> String {
    var arguments = [
      "-target", "x86_64-unknown-none-elf", "-enable-experimental-feature", "Embedded",
      "-enable-experimental-feature", "Extern", "-enable-experimental-feature", "Lifetimes",
      "-enable-upcoming-feature", "ExistentialAny",
      "-swift-version", "6", "-wmo", "-O", "-enforce-exclusivity=unchecked", "-parse-as-library",
      "-module-name", module, "-module-cache-path", kitObjects.appending(path: "modules").path,
      "-I", kitObjects.path, "-Xcc", "-march=x86-64-v2", "-Xcc", "-ffreestanding", "-Xcc",
      "-fno-stack-protector",
      // Frame pointers make a guest's backtrace a walk of a linked list.
      "-Xcc", "-fno-omit-frame-pointer",
      "-Xfrontend", "-disable-stack-protector", "-Xfrontend", "-function-sections",
      // Merged functions would save a kilobyte and put strangers' names into backtraces.
      "-Xllvm", "-swiftmergefunc-threshold=0",
      "-emit-module", "-emit-module-path", folder.appending(path: "\(module).swiftmodule").path,
      "-c", "-o", folder.appending(path: "\(module).o").path,
    ]
    // The kit's rule; an author shall get by with plain imports.
    if folder == kitObjects { arguments += ["-enable-upcoming-feature", "InternalImportsByDefault"] }
    if keepsDebugInfo { arguments.append("-g") }
    if warningsAreErrors { arguments.append("-warnings-as-errors") }
    for include in kitIncludes + includes { arguments += ["-I", include.path] }
    return try Tool.run(toolchain.swiftc, arguments + sources.map(\.path))
  }

  @discardableResult
  private func c(
    _ source: URL, as name: String, into folder: URL, freestanding: Bool, includes: [URL] = []
  ) throws(GuestBuildError) -> String {
    var arguments = [
      "-target", "x86_64-unknown-none-elf", "-march=x86-64-v2", "-O2", "-std=c17", "-Wall", "-Wextra",
      // Nobody reads errno, so that a square root is an instruction and not a call.
      "-ffreestanding", "-fno-math-errno", "-fno-stack-protector", "-fno-pic", "-fno-omit-frame-pointer",
      "-ffunction-sections",
      "-fdata-sections", "-c", source.path, "-o", folder.appending(path: "\(name).o").path,
    ]
    if freestanding { arguments.append("-fno-builtin") }
    if keepsDebugInfo { arguments.append("-g") }
    if warningsAreErrors { arguments.append("-Werror") }
    for include in kitIncludes + includes { arguments += ["-I", include.path] }
    return try Tool.run(toolchain.clang, arguments)
  }

  private func makeFolder(_ folder: URL) throws(GuestBuildError) {
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    } catch {
      throw GuestBuildError(.files, "the folder \(folder.path) cannot be made", cause: "\(error)")
    }
  }

  private func write(_ text: String, to file: URL) throws(GuestBuildError) {
    do {
      try text.write(to: file, atomically: true, encoding: .utf8)
    } catch {
      throw GuestBuildError(.files, "\(file.path) cannot be written", cause: "\(error)")
    }
  }
}
