import Foundation
import NubCap
import NubCapJSON
import Testing

@Suite("JSON descriptions of caps")
struct CapJSONTests {
  static func cap(_ text: String) throws(CapJSONError) -> Cap {
    try CapJSON.cap(from: Data(text.utf8)) { path in
      guard path == "code.bin" else { throw CocoaError(.fileNoSuchFile) }
      return [1, 2, 3]
    }
  }

  static let hash = String(repeating: "ab", count: 32)

  @Test(
    "bytes are given as hex, base64, text or a file",
    arguments: [
      (#""hex:00fF10""#, [0, 0xff, 0x10]), (#""hex:""#, []), (#""base64:AP8Q""#, [0, 0xff, 0x10]),
      (#""utf8:ß\n""#, [0xc3, 0x9f, 0x0a]), (#""utf8:hex:00""#, [UInt8]("hex:00".utf8)),
      (#""@code.bin""#, [1, 2, 3]),
    ] as [(String, [UInt8])])
  func bytes(text: String, bytes: [UInt8]) throws {
    #expect(try Self.cap(#"{"kind": "data", "bytes": \#(text)}"#) == .data(.inline(bytes)))
  }

  @Test("a description moves no terminal's cursor, and is the same cap again")
  func terminals() throws {
    let name = "a\u{1B}[2J\u{9B}1m\u{7F}\u{202E}\u{2028}\u{E0001}ß"
    let image = Cap.image(.init(endpoints: [.init(name: Array(name.utf8))]))
    for cap in [image, .data(.inline(Array(name.utf8))), .data(.inline(Array("\u{FEFF}ß".utf8)))] {
      let text = try CapJSON.json(for: cap)
      #expect(text.unicodeScalars.allSatisfy { $0 == "\n" || (0x20..<0x7F).contains($0.value) || $0 == "ß" })
      #expect(try CapJSON.cap(from: Data(text.utf8)) == cap)
    }
  }

  @Test("what is left out has its zero value")
  func defaults() throws {
    #expect(try Self.cap(#"{"kind": "data"}"#) == .data(.inline([])))
    #expect(try Self.cap(#"{"kind": "image", "yield_marker_slot": null}"#) == .image(.init()))
    #expect(try Self.cap(#"{"kind": "cnode", "size_log": 3}"#) == .cnode(.init(sizeLog: 3, slots: [])))
    let instance = try Self.cap(#"{"kind": "instance", "regs": [0, 7]}"#)
    var regs = Cap.Registers()
    regs[1] = 7
    #expect(
      instance == .instance(.init(imageHashChain: .zero, imageHash: .zero, rootCNode: .zero, regs: regs)))
    _ = try instance.encoded()
  }

  @Test("integers keep all 64 bits, as numbers and as text")
  func integers() throws {
    for text in ["18446744073709551615", #""18446744073709551615""#, #""0xffffffffffffffff""#] {
      #expect(try Self.cap(#"{"kind": "image", "code_base": \#(text)}"#) == .image(.init(codeBase: .max)))
    }
  }

  @Test(
    "a wrong description names the field and what is wrong with it",
    arguments: [
      ("", .notJSON, ""), ("{", .notJSON, ""), ("[]", .wrongType, ""), ("{}", .missingField, "kind"),
      (#"{"kind": 1}"#, .wrongType, "kind"), (#"{"kind": "blob"}"#, .badValue, "kind"),
      (#"{"kind": "data", "byte": "hex:"}"#, .unknownField, "byte"),
      (#"{"kind": "data", "bytes": "00"}"#, .badValue, "bytes"),
      (#"{"kind": "data", "bytes": "hex:0"}"#, .badValue, "bytes"),
      (#"{"kind": "data", "bytes": "hex:0g"}"#, .badValue, "bytes"),
      (#"{"kind": "data", "bytes": "base64:!"}"#, .badValue, "bytes"),
      (#"{"kind": "data", "bytes": [1]}"#, .wrongType, "bytes"),
      (#"{"kind": "data", "bytes": "@nowhere"}"#, .unreadableFile, "bytes"),
      (#"{"kind": "type"}"#, .missingField, "image_hash_chain"),
      (#"{"kind": "type", "image_hash_chain": "ab"}"#, .badValue, "image_hash_chain"),
      (#"{"kind": "cnode"}"#, .missingField, "size_log"),
      (#"{"kind": "cnode", "size_log": 256}"#, .badValue, "size_log"),
      (#"{"kind": "cnode", "size_log": -1}"#, .badValue, "size_log"),
      (#"{"kind": "cnode", "size_log": 1.5}"#, .badValue, "size_log"),
      (#"{"kind": "cnode", "size_log": "0x"}"#, .badValue, "size_log"),
      (#"{"kind": "cnode", "size_log": 1, "slots": {}}"#, .wrongType, "slots"),
      (#"{"kind": "cnode", "size_log": 1, "slots": [{"slot": 0}]}"#, .missingField, "slots[0].cap"),
      (
        #"{"kind": "image", "endpoints": [{"name": "a"}, {"name": "b", "pc": 1}]}"#, .unknownField,
        "endpoints[1].pc"
      ),
      (
        #"{"kind": "image", "mappings": [{"source_path": [1, "x"]}]}"#, .badValue,
        "mappings[0].source_path[1]"
      ),
      (#"{"kind": "instance", "rw_overlays": [{"start": 4294967296}]}"#, .badValue, "rw_overlays[0].start"),
      (#"{"kind": "instance", "regs": [\#(String(repeating: "0,", count: 32))0]}"#, .badValue, "regs"),
    ] as [(String, CapJSONError.Code, String)])
  func errors(text: String, code: CapJSONError.Code, path: String) {
    let error = #expect(throws: CapJSONError.self) { try Self.cap(text) }
    #expect(error?.code == code)
    #expect(error?.path == path)
    #expect(error?.description.isEmpty == false)
  }

  @Test("a description comes in the order of the schema, short things on one line")
  func text() throws {
    let cap = try Self.cap(
      #"{"slots": [{"cap": "\#(Self.hash)", "slot": 1}], "size_log": 1, "kind": "cnode"}"#)
    #expect(
      try CapJSON.json(for: cap) == """
        {
          "kind": "cnode",
          "size_log": 1,
          "slots": [
            {"slot": 1, "cap": "\(Self.hash)"}
          ]
        }

        """)
  }

  @Test("readable text comes as text, other bytes as hex, and both come back")
  func describedBytes() throws {
    for bytes in [[], [UInt8]("a \"quoted\"\\ line\r\n\tß".utf8), [0], [0xff], [0x7f], [UInt8](0...255)] {
      let cap = Cap.data(.inline(bytes))
      #expect(try Self.cap(CapJSON.json(for: cap)) == cap)
    }
    #expect(try CapJSON.json(for: .data(.inline([0x61]))).contains(#""utf8:a""#))
    #expect(try CapJSON.json(for: .data(.inline([0]))).contains(#""hex:00""#))
  }

  @Test("a cap that only a directory understands has no description")
  func noDescription() throws {
    let reference = Cap.cnode(
      .init(sizeLog: 1, slots: [.init(slot: 0, content: .reference(.init(rawValue: 1)))]))
    #expect(throws: CapJSONError.self) { try CapJSON.json(for: reference) }
    var pages = try PagedBytes(loading: ([1, 2, 3] as [UInt8]).span.bytes)
    #expect(try Self.cap(CapJSON.json(for: .data(.paged(pages)))) == .data(.inline([1, 2, 3])))
    try pages.unload(page: 0)
    #expect(throws: CapJSONError.self) { try CapJSON.json(for: .data(.paged(pages))) }
  }
}
