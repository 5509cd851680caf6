import Foundation
import NubCap
import NubGuestBuild

/// The kit, unpacked and compiled, in a folder named for exactly these sources and this toolchain.
struct KitCache {
  struct Kit {
    var sources: URL
    var objects: URL
  }

  let folder: URL
  let toolchain: Toolchain

  /// The XDG base directory specification's place for what can be made again.
  static var standardFolder: URL {
    let environment = ProcessInfo.processInfo.environment
    if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
      return URL(filePath: cache).appending(path: "nub")
    }
    return FileManager.default.homeDirectoryForCurrentUser.appending(path: ".cache/nub")
  }

  /// The kit, compiled now where this toolchain has not done it yet.
  func kit() throws(GuestBuildError) -> Kit {
    guard let bytes = Data(base64Encoded: "\(guestKitArchiveBase64)"),
      let archive = SourceArchive([UInt8](bytes))
    else {
      throw GuestBuildError(.files, "the guest kit inside this binary is damaged; build nub again")
    }
    let place = folder.appending(path: "guest-kit-\(try key(archive))")
    let kit = Kit(sources: place.appending(path: "Sources"), objects: place.appending(path: "objects"))
    if FileManager.default.fileExists(atPath: place.path) { return kit }

    // Made beside its place and moved there whole, so that nobody sees half of it.
    let draft = folder.appending(path: ".draft-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: draft) }
    do {
      try FileManager.default.createDirectory(
        at: draft, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw GuestBuildError(.files, "the cache folder \(folder.path) cannot be made", cause: "\(error)")
    }
    try archive.unpack(into: draft.appending(path: "Sources"))
    try GuestBuild(
      toolchain: toolchain, kit: draft.appending(path: "Sources"),
      kitObjects: draft.appending(path: "objects"),
      scratch: draft
    ).buildKit()
    // Compiled modules remember where their headers lay; those of the draft would be stale.
    try? FileManager.default.removeItem(at: draft.appending(path: "objects/modules"))
    do {
      try FileManager.default.moveItem(at: draft, to: place)
    } catch {
      // Somebody else was first, with the same.
      guard FileManager.default.fileExists(atPath: place.path) else {
        throw GuestBuildError(.files, "\(place.path) cannot be made", cause: "\(error)")
      }
    }
    return kit
  }

  private func key(_ archive: SourceArchive) throws(GuestBuildError) -> String {
    let version = try toolchain.version()
    let identity =
      archive.bytes
      + Array("\(GuestBuild.revision)\n\(toolchain.swiftc)\n\(toolchain.clang)\n\(version)".utf8)
    return String("\(identity.withUnsafeBytes { SHA256.hash($0) })".prefix(16))
  }
}
