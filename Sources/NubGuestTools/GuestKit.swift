public import Foundation
import NubCap
import NubELF
public import NubGuestBuild
public import NubMachine

/// Builds guest images from authors' sources. The kit's own sources lie inside this binary, so a Swift toolchain is all
/// that is needed beside it.
public enum GuestKit {
  /// What a build made.
  public struct Built: Sendable {
    /// The image, read back from the file and checked as a worker would check it.
    public var image: GuestImage
    /// The compilers' warnings; empty where there are none.
    public var diagnostics: String
  }

  /// Builds the `.swift` and `.c` files of a folder, those in folders below it included, into an image.
  ///
  /// The kit is compiled once for a toolchain and kept in `cache`; later builds take seconds. Hidden files and folders
  /// are left out.
  /// - Parameters:
  ///   - directory: the author's folder. It is searched for headers and module maps as well.
  ///   - output: the image's file, replaced in one step where it exists.
  ///   - toolchain: nil to find one on the PATH, see ``Toolchain/locate(path:)``.
  ///   - cache: nil for `$XDG_CACHE_HOME/nub`, or `~/.cache/nub`.
  ///   - debugInfo: DWARF for gdb in the image. It is not loaded into sandboxes.
  public static func build(
    directory: URL, output: URL, toolchain: Toolchain? = nil, cache: URL? = nil, debugInfo: Bool = false
  ) throws(GuestBuildError) -> Built {
    let toolchain = if let toolchain { toolchain } else { try Toolchain.locate() }
    let sources = try sources(in: directory)
    let scratch = try temporaryFolder()
    defer { try? FileManager.default.removeItem(at: scratch) }

    let kit = try KitCache(folder: cache ?? KitCache.standardFolder, toolchain: toolchain).kit()
    var build = GuestBuild(
      toolchain: toolchain, kit: kit.sources, kitObjects: kit.objects,
      scratch: scratch.appending(path: "objects"))
    build.keepsDebugInfo = debugInfo
    let result = try build.build(sources: sources, includes: [directory])
    let image: GuestImage
    do throws(MachineError) {
      image = try GuestImage(result.image.bytes)
    } catch {
      throw GuestBuildError(
        .compile, "the sources compile, but not into an image that nub can run", cause: error.message)
    }
    do {
      try Data(result.image.bytes).write(to: output, options: .atomic)
    } catch {
      throw GuestBuildError(.files, "\(output.path) cannot be written", cause: "\(error)")
    }
    return Built(image: image, diagnostics: result.diagnostics)
  }

  private static func sources(in directory: URL) throws(GuestBuildError) -> [URL] {
    var isDirectory: ObjCBool = false
    guard FileManager.default.fileExists(atPath: directory.path, isDirectory: &isDirectory),
      isDirectory.boolValue
    else {
      throw GuestBuildError(.files, "\(directory.path) is not a folder with a guest's sources")
    }
    let found = FileManager.default.enumerator(
      at: directory, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
    var sources: [URL] = []
    for case let file as URL in found ?? FileManager.DirectoryEnumerator()
    where ["swift", "c"].contains(file.pathExtension) {
      sources.append(file)
    }
    guard !sources.isEmpty else {
      throw GuestBuildError(.files, "there is no .swift or .c file in \(directory.path)")
    }
    return sources.sorted { $0.path < $1.path }
  }

  static func temporaryFolder() throws(GuestBuildError) -> URL {
    let folder = FileManager.default.temporaryDirectory.appending(path: "nub-guest-\(UUID().uuidString)")
    do {
      try FileManager.default.createDirectory(
        at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw GuestBuildError(.files, "the scratch folder \(folder.path) cannot be made", cause: "\(error)")
    }
    return folder
  }
}
