import Foundation
import NubGuestBuild
import NubGuestTools
import NubMachine
import Testing

@Suite struct GuestKitTests {
  private static let function = "#include \"nub_guest.h\"\nNUB_FUNCTION(300, one) { (void)call; return 0; }\n"

  @Test func sourcesInSwiftAndCMakeOneImage() throws {
    let built = try Built.build([
      "one.c": Self.function,
      "deep/one.c":
        "#include \"nub_guest.h\"\nNUB_FUNCTION(301, two) { return nub_write(call, \"2\", 1); }\n",
      "three.swift": """
      import NubGuestKit
      @c(nub_fn_302_three) public func three(_ call: NubCall?) -> UInt32 {
        GuestCall.run(call) { call throws(GuestError) in try call.write("3") }
      }
      """,
    ])
    #expect(built.diagnostics == "")
    var sandbox = try SandboxTemplate(kvm: built.image).makeSandbox()
    #expect(try sandbox.call(301) == [50])
    #expect(try sandbox.call(302) == [51])
    #expect(built.image.functions.filter { $0.id >= 256 }.map(\.name) == ["one", "two", "three"])
  }

  @Test func stringsCanBeKeysOfADictionary() throws {
    let built = try Built.build([
      "text.swift": """
      import NubGuestKit
      @c(nub_fn_300_kinds) public func kinds(_ call: NubCall?) -> UInt32 { GuestCall.run(call, count) }
      func count(_ call: borrowing GuestCall) throws(GuestError) {
        var counts: [String: Int] = [:]
        for byte in call.payload { counts["\\(byte % 3)", default: 0] += 1 }
        try call.write("\\(counts["0"] ?? 0) \\(counts["1"] ?? 0) \\(counts["2"] ?? 0)")
      }
      """
    ])
    var sandbox = try SandboxTemplate(kvm: built.image).makeSandbox()
    #expect(try sandbox.call(300, [0, 3, 1, 6, 2]) == Array("3 1 1".utf8))
  }

  @Test func anAllocationThatFailsIsAFaultInSwiftAndNullInC() throws {
    let built = try Built.build([
      "a.swift": """
      import NubGuestKit
      @c(nub_fn_300_hoard) func hoard(_ call: NubCall?) -> UInt32 { GuestCall.run(call, fill) }
      func fill(_ call: borrowing GuestCall) throws(GuestError) {
        let bytes = [UInt8](repeating: 7, count: try call.number(as: Int.self))
        try call.write(bytes.count)
      }
      """,
      "b.c": """
      #include "nub_guest.h"
      NUB_FUNCTION(301, ask) { return malloc(call->payload_length ? (size_t)1 << 40 : 16) ? 0 : 5; }
      """,
    ])
    var sandbox = try SandboxTemplate(kvm: built.image).makeSandbox()
    func number(_ value: Int) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) } }
    #expect(try sandbox.call(300, number(1 << 20)) == number(1 << 20))
    #expect(try sandbox.call(301) == [])
    let refused = #expect(throws: MachineError.self) { try sandbox.call(301, [1]) }
    #expect(refused?.code == .guestError(status: 5))
    let error = #expect(throws: MachineError.self) { try sandbox.call(300, number(1 << 40)) }
    guard case .fault? = error?.code else {
      Issue.record("\(String(describing: error))")
      return
    }
    try sandbox.restore()
    #expect(try sandbox.call(300, number(1)) == number(1))
  }

  @Test func warningsAreHandedOn() throws {
    let built = try Built.build(["one.c": Self.function + "static void unused(void) {}\n"])
    #expect(built.diagnostics.contains("unused"))
  }

  @Test func theCompilersOwnWordsAreTheCause() throws {
    for (file, text) in [("a.c", "int x = ;"), ("a.swift", "public func f() { g() }")] {
      let error = try #require(Built.error([file: text]))
      #expect(error.code == .compile)
      #expect(error.cause?.contains("error:") == true)
      #expect(error.cause?.contains(file) == true)
    }
  }

  /// Mistakes that are made, and what is said about each beside the compiler's own words.
  @Test(arguments: [
    ("a.swift", "import Foundation\nimport NubGuestKit\n", "there is no Foundation"),
    (
      "a.c",
      "#include \"nub_guest.h\"\nint printf(const char *, ...);\nNUB_FUNCTION(300, x) { (void)call; return printf(\"x\"); }\n",
      "there is no printf unless its sources define it"
    ),
    ("a.c", "#include <stdio.h>\n", "headers of the operating system are not for guests"),
    (
      "a.swift",
      "import NubGuestKit\n@c(nub_fn_300_x) public func x(_ c: NubCall?) -> UInt32 { GuestCall.run(c, y) }\n"
        + "func y(_ c: borrowing GuestCall) throws { try c.write(\"x\") }\n",
      "write throws(GuestError)"
    ),
    (
      "a.swift",
      "import NubGuestKit\nprotocol P { func f() -> UInt32 }\nstruct S: P { func f() -> UInt32 { 0 } }\n"
        + "func g(_ p: any P) -> UInt32 { p.f() }\n"
        + "@c(nub_fn_300_x) public func x(_ c: NubCall?) -> UInt32 { g(S()) }\n",
      "a generic parameter or an enum"
    ),
  ])
  func commonMistakesAreExplained(file: String, text: String, hint: String) throws {
    let error = try #require(Built.error([file: text]))
    #expect(error.code == .compile)
    #expect(error.hint?.contains(hint) == true, "\(error)")
    #expect(error.description.contains("\nhint: "))
  }

  @Test func aSquareRootIsAnInstruction() throws {
    let built = try Built.build([
      "a.c": """
      #include "nub_guest.h"
      NUB_FUNCTION(300, root) {
        uint64_t root = (uint64_t)__builtin_sqrt((double)call->payload_length);
        return nub_write(call, &root, sizeof root);
      }
      """
    ])
    var sandbox = try SandboxTemplate(kvm: built.image).makeSandbox()
    #expect(try sandbox.call(300, [UInt8](repeating: 0, count: 144)) == [12, 0, 0, 0, 0, 0, 0, 0])
  }

  @Test func idsThatAreTakenAreRefused() throws {
    let again = Self.function.replacing("one)", with: "other)")
    let twice = try #require(Built.error(["a.c": Self.function, "b.c": again]))
    #expect(twice.code == .functions)
    #expect(twice.message.contains("same id 300"))
    let same = try #require(Built.error(["a.c": Self.function, "b.c": Self.function]))
    #expect(same.message.contains("nub_fn_300_one is defined in two files"))
    let sameName = try #require(
      Built.error(["a.c": Self.function, "b.c": Self.function.replacing("300", with: "301")]))
    #expect(sameName.message.contains("the name one has the ids"))
    let kitName = try #require(Built.error(["a.c": Self.function.replacing("one", with: "echo")]))
    #expect(kitName.message.contains("the name echo has the ids"))
  }

  @Test(arguments: [0, 1, 3, 255])
  func reservedIDsAreRefused(id: Int) throws {
    let error = try #require(Built.error(["a.c": Self.function.replacing("300", with: "\(id)")]))
    #expect(error.code == .functions)
    #expect(error.message.contains("0 to 255 are nub's own"))
  }

  @Test(arguments: ["nub_fn_x_one", "nub_fn_99999999999_one", "nub_fn_0300_one", "nub_fn_300"])
  func namesThatAreNoneAreRefused(name: String) throws {
    let source = "#include \"nub_guest.h\"\nuint32_t \(name)(nub_call *call) { (void)call; return 0; }\n"
    let error = try #require(Built.error(["a.c": source]))
    #expect(error.code == .functions)
    #expect(error.message.contains("nub_fn_<id>_<name>"))
  }

  @Test(arguments: ["int nub_fn_301_data = 5;", "const char nub_fn_302_text[] = \"text\";"])
  func dataIsNoFunction(source: String) throws {
    let error = try #require(Built.error(["a.c": Self.function + source + "\n"]))
    #expect(error.code == .functions)
    #expect(error.message.contains("is data"))
  }

  @Test func aFunctionMayIgnoreItsCall() throws {
    let source = "#include \"nub_guest.h\"\nNUB_FUNCTION(300, zero) { return 0; }\n"
    #expect(try Built.build(["a.c": source]).diagnostics.isEmpty)
  }

  @Test func sourcesWithoutAFunctionAreRefused() throws {
    #expect(Built.error(["a.c": "int x;\n"])?.code == .functions)
    #expect(Built.error(["README.md": "hello"])?.code == .files)
    #expect(throws: GuestBuildError.self) { try Built.build(directory: URL(filePath: "/nonexistent")) }
  }

  @Test func aMissingToolchainIsSaid() throws {
    let error = #expect(throws: GuestBuildError.self) { try Toolchain.locate(path: "/nonexistent:/") }
    #expect(error?.code == .toolMissing)
    #expect(error?.message.contains("install a Swift toolchain") == true)
  }

  @Test func theReportNamesFunctionsSectionsAndSizes() throws {
    let report = GuestImageReport(try Built.base64.get())
    #expect(
      report.functions.filter { !$0.isReserved }.map(\.name) == [
        "base64_encode", "base64_decode", "cap_base64", "transformed_base64",
      ])
    #expect(report.functions.allSatisfy { ($0.codeSize ?? 0) > 0 })
    #expect(report.sections.contains { $0.name == ".text" && $0.address == 0x40_0000 && $0.size > 1000 })
    #expect(report.segments.map(\.access) == ["r-x", "r--", "rw-"])
    #expect(report.hasSymbols && !report.hasDebugInfo)
    #expect(report.text.contains("base64_decode"))
    let copy = try JSONDecoder().decode(GuestImageReport.self, from: try JSONEncoder().encode(report))
    #expect(copy == report)
  }

  @Test func anArchiveComesBackAsItWentIn() throws {
    let archive = SourceArchive(files: [
      .init(path: "a/b.swift", contents: [1, 0, 2]), .init(path: "c.h", contents: []),
    ])
    #expect(SourceArchive(archive.bytes)?.files == archive.files)
    for count in 0..<archive.bytes.count {
      guard let cut = SourceArchive([UInt8](archive.bytes.prefix(count))) else { continue }
      #expect(cut.files == Array(archive.files.prefix(cut.files.count)))
    }
    for path in ["../x", "/x", "a//b", "", "a/./b"] {
      #expect(SourceArchive(SourceArchive(files: [.init(path: path, contents: [])]).bytes) == nil)
    }
  }
}
