import Foundation
import NubABI
import NubCap
import NubGuestTools
import NubMachine
import Testing

/// What docs/guest-authors.md shows is built, run and answered as it says.
@Suite struct GuideTests {
  private static let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL

  /// The blocks of code with this mark behind their fence.
  private static func blocks(_ mark: String) throws -> [String] {
    let page = try String(contentsOf: root.appending(path: "docs/guest-authors.md"), encoding: .utf8)
    return page.components(separatedBy: "```\(mark)\n").dropFirst().compactMap {
      $0.components(separatedBy: "```").first
    }
  }

  /// A folder with every function of the page.
  private let folder: URL
  private let output: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "nub-guide-\(UUID().uuidString)")
    output = folder.appending(path: "guide.elf")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for (mark, ending) in [("swift", "swift"), ("c", "c")] {
      let blocks = try Self.blocks(mark)
      #expect(blocks.count == 3)
      for (index, block) in blocks.enumerated() {
        try block.write(
          to: folder.appending(path: "block\(index).\(ending)"), atomically: false, encoding: .utf8)
      }
    }
  }

  private func greeting() throws -> String {
    let image = try GuestKit.build(directory: folder, output: output).image
    var functions = HostFunctions()
    functions.register(1000, name: "greeting") { call in
      call.argument == Array("en".utf8) ? Array("hello".utf8) : []
    }
    let template = try SandboxTemplate(kvm: image, hostFunctions: functions)
    var sandbox = try template.makeSandbox()
    return String(decoding: try sandbox.call(302, Array("world".utf8)), as: UTF8.self)
  }

  @Test func thePagesFunctionsDoWhatThePageSays() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let built = try Built.build(directory: folder)
    #expect(built.diagnostics == "")
    #expect(
      built.image.functions.filter { $0.id >= 256 }.map(\.name) == [
        "shout", "count_lines", "greet", "reverse", "head_of_cap", "checked",
      ])
    var sandbox = try SandboxTemplate(kvm: built.image).makeSandbox()
    #expect(try sandbox.call(300, Array("hello, 9".utf8)) == Array("HELLO, 9".utf8))
    let empty = #expect(throws: MachineError.self) { try sandbox.call(300) }
    #expect(empty?.code == .guestError(status: 1) && empty?.message == "there is nothing to shout")
    #expect(try sandbox.call(310, [1, 2, 3]) == [3, 2, 1])
    #expect(try sandbox.call(312, [5]) == [5])
    let hash = try sandbox.putCap(Cap.data(.inline(Array("one\ntwo\nthree, and more\n".utf8))))
    #expect(try sandbox.call(301, hash.bytes) == [3, 0, 0, 0, 0, 0, 0, 0])
    #expect(try sandbox.call(311, hash.bytes) == Array("one\ntwo\nthree, a".utf8))
    for function in [301, 311] as [UInt32] {
      let bad = #expect(throws: MachineError.self) { try sandbox.call(function, [1]) }
      #expect(bad?.code == .guestError(status: GuestStatus.badPayload))
      let missing = #expect(throws: MachineError.self) {
        try sandbox.call(function, [UInt8](repeating: 8, count: 32))
      }
      #expect(missing?.code == .guestError(status: GuestStatus.capMissing))
    }
  }

  @Test func theTestOfThePageIsOne() throws {
    defer { try? FileManager.default.removeItem(at: folder) }
    let shown = try #require(try Self.blocks("swift host").first)
    let own = try String(contentsOf: URL(filePath: #filePath), encoding: .utf8)
    #expect(own.contains(shown))
    #expect(try greeting() == "hello, world")
  }
}
