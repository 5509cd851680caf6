public import Foundation

/// A few text files as one sequence of bytes, so that the kit's sources can lie inside a binary.
///
/// Each file is its path, a zero byte, its size as eight little-endian bytes, and its contents.
public struct SourceArchive {
  public struct File: Equatable {
    /// Relative to the folder that was packed; its parts are names, none of them `.` or `..`.
    public var path: String
    public var contents: [UInt8]

    public init(path: String, contents: [UInt8]) {
      self.path = path
      self.contents = contents
    }
  }

  public var files: [File]

  public init(files: [File]) { self.files = files }

  /// Packs what ``GuestBuild`` needs of the folder `Sources`.
  public init(kit sources: URL) throws(GuestBuildError) {
    files = []
    let base = sources.standardizedFileURL.path + "/"
    for folder in GuestBuild.kitFolders {
      let found = FileManager.default.enumerator(
        at: sources.appending(path: folder), includingPropertiesForKeys: nil)
      for case let file as URL in found ?? FileManager.DirectoryEnumerator()
      where GuestBuild.kitExtensions.contains(file.pathExtension) {
        let path = file.standardizedFileURL.path
        guard path.hasPrefix(base) else { continue }
        do {
          files.append(
            File(path: String(path.dropFirst(base.count)), contents: [UInt8](try Data(contentsOf: file))))
        } catch {
          throw GuestBuildError(.files, "\(path) cannot be read", cause: "\(error)")
        }
      }
    }
    files.sort { $0.path < $1.path }
  }

  public var bytes: [UInt8] {
    var bytes: [UInt8] = []
    for file in files {
      bytes += file.path.utf8
      bytes.append(0)
      withUnsafeBytes(of: UInt64(file.contents.count).littleEndian) { bytes += $0 }
      bytes += file.contents
    }
    return bytes
  }

  /// Reads an archive; nil where the bytes are none.
  public init?(_ bytes: [UInt8]) {
    files = []
    var rest = bytes[...]
    while !rest.isEmpty {
      guard let zero = rest.firstIndex(of: 0), let path = String(validating: rest[..<zero], as: UTF8.self),
        SourceArchive.isPlain(path)
      else { return nil }
      rest = rest[(zero + 1)...]
      guard rest.count >= 8 else { return nil }
      var size: UInt64 = 0
      for (index, byte) in rest.prefix(8).enumerated() { size |= UInt64(byte) << UInt64(8 * index) }
      rest = rest.dropFirst(8)
      guard size <= UInt64(rest.count) else { return nil }
      files.append(File(path: path, contents: [UInt8](rest.prefix(Int(size)))))
      rest = rest.dropFirst(Int(size))
    }
  }

  private static func isPlain(_ path: String) -> Bool {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return !parts.isEmpty && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
  }

  /// Writes the files below a folder.
  public func unpack(into folder: URL) throws(GuestBuildError) {
    for file in files {
      let target = folder.appending(path: file.path)
      do {
        try FileManager.default.createDirectory(
          at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(file.contents).write(to: target)
      } catch {
        throw GuestBuildError(.files, "\(target.path) cannot be written", cause: "\(error)")
      }
    }
  }
}
