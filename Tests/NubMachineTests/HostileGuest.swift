import Foundation
import NubABI
import NubELF
import NubGuestBuild
import Testing

@testable import NubMachine

/// The image of `Guests/hostile.c`, built once for all tests.
enum HostileGuest {
  static let poke: UInt32 = 300
  static let peek: UInt32 = 301
  static let hostCall: UInt32 = 302
  static let jump: UInt32 = 303
  static let hide: UInt32 = 304
  static let registers: UInt32 = 305
  static let instruction: UInt32 = 306
  static let publishAndStay: UInt32 = 307
  static let publishAndFault: UInt32 = 308
  static let say: UInt32 = 309
  static let giveUp: UInt32 = 310
  static let scribble: UInt32 = 311
  static let hideState: UInt32 = 312
  static let state: UInt32 = 313
  static let prepareLie: UInt32 = 314
  static let lie: UInt32 = 315
  static let deep: UInt32 = 316
  static let instructions = 0..<86

  /// How ``poke`` ends.
  enum End: UInt64, CaseIterable {
    case returning = 0
    case ringing = 1
    case spinning = 2
    case ringingForever = 3
  }

  static let image: Result<GuestImage, any Error> = Result {
    let tests = URL(filePath: #filePath).deletingLastPathComponent()
    let package = tests.deletingLastPathComponent().deletingLastPathComponent()
    let scratch = FileManager.default.temporaryDirectory.appending(path: "nub-hostile-\(getpid())")
    defer { try? FileManager.default.removeItem(at: scratch) }
    let build = GuestBuild(
      toolchain: try Toolchain.locate(), kit: package.appending(path: "Sources"),
      kitObjects: scratch.appending(path: "kit"), scratch: scratch.appending(path: "guest"))
    try build.buildKit()
    return try GuestImage(
      build.build(sources: [tests.appending(path: "Guests/hostile.c")]).image.bytes)
  }

  /// The image with ``lie`` in the place of one of nub's own functions.
  static func image(lyingAs function: UInt32) throws -> GuestImage {
    let elf = try image.get().elf
    var bytes = elf.bytes
    let table = try #require(elf.section(named: "nub_functions"))
    // An entry is its id, the address of its name, and that of its code.
    func place(of id: UInt32) throws -> Int {
      let places = stride(from: Int(table.offset), to: Int(table.offset + table.size), by: 24)
      return try #require(places.first { Array(bytes[$0..<($0 + 8)]) == words(UInt64(id)) }) + 16
    }
    let code = try place(of: lie)
    let lied = try place(of: function)
    bytes.replaceSubrange(lied..<(lied + 8), with: Array(bytes[code..<(code + 8)]))
    return try GuestImage(bytes)
  }

  static func template(
    _ configuration: SandboxConfiguration = SandboxConfiguration(),
    _ functions: HostFunctions = HostFunctions()
  ) throws -> SandboxTemplate {
    try SandboxTemplate(kvm: try image.get(), configuration: configuration, hostFunctions: functions)
  }

  static func words(_ words: UInt64...) -> [UInt8] { words.flatMap { Support.bytes(of: $0) } }
}
