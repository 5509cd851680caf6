import NubCap
import Testing

@Suite("The cap model")
struct CapModelTests {
  static func code<T>(_ body: () throws(CapError) -> T) -> CapError.Code? {
    do throws(CapError) {
      _ = try body()
      return nil
    } catch {
      return error.code
    }
  }

  /// Caps that break one rule each. Neither is encoded nor hashed.
  static let broken: [(String, Cap, CapError.Code)] = [
    (
      "reference",
      .cnode(.init(sizeLog: 4, slots: [.init(slot: 1, content: .reference(.init(rawValue: 7)))])),
      .unresolvedReference
    ),
    ("size_log", .cnode(.init(sizeLog: 17, slots: [])), .overLimit),
    ("slot", .cnode(.init(sizeLog: 3, slots: [.init(slot: 8, cap: capName(1))])), .slotOutOfRange),
    (
      "order",
      .cnode(.init(sizeLog: 3, slots: [.init(slot: 2, cap: capName(1)), .init(slot: 1, cap: capName(1))])),
      .slotsNotAscending
    ),
    ("zero", .cnode(.init(sizeLog: 3, slots: [.init(slot: 2, cap: .zero)])), .zeroHash),
    (
      "slots", .cnode(.init(sizeLog: 16, slots: (0...65536).map { .init(slot: $0, cap: capName(1)) })),
      .overLimit
    ),
    ("isa", .image(.init(isa: 2)), .unsupportedISA),
    ("code", .image(.init(code: [UInt8](repeating: 0, count: 1 << 24 + 1))), .overLimit),
    ("endpoints", .image(.init(endpoints: (0...64).map { endpoint("\($0)", seed: $0) })), .overLimit),
    ("name", .image(.init(endpoints: [endpoint(String(repeating: "x", count: 65), seed: 1)])), .overLimit),
    ("UTF-8", .image(.init(endpoints: [.init(name: [0xff])])), .nameNotUTF8),
    ("twice", .image(.init(endpoints: [.init(name: [1]), .init(name: [1])])), .duplicateName),
    ("mappings", .image(.init(mappings: (0...64).map { .init(start: $0 * 2, size: 1) })), .overLimit),
    ("path", .image(.init(mappings: [.init(start: 0, size: 1, sourcePath: [UInt32](0...8))])), .overLimit),
    ("wrap", .image(.init(mappings: [.init(start: .max, size: 1)])), .mappingWraps),
    (
      "overlap", .image(.init(mappings: [.init(start: 0, size: 2), .init(start: 1, size: 2)])),
      .mappingsOverlap
    ),
    ("pinned", .image(.init(pinned: (0...65536).map { .init(slot: $0, cap: capName(1)) })), .overLimit),
    ("initial", .image(.init(initial: (0...65536).map { .init(slot: $0, cap: capName(1)) })), .overLimit),
    ("pinned zero", .image(.init(pinned: [.init(slot: 0, cap: .zero)])), .zeroHash),
    (
      "initial order",
      .image(.init(initial: [.init(slot: 0, cap: capName(1)), .init(slot: 0, cap: capName(1))])),
      .slotsNotAscending
    ),
    (
      "initial register",
      .image(.init(endpoints: [.init(name: [], initialRegs: .init(.init(repeating: 1)))])),
      .registerZeroNotZero
    ),
    (
      "register",
      .instance(
        .init(imageHashChain: .zero, imageHash: .zero, rootCNode: .zero, regs: .init(.init(repeating: 1)))),
      .registerZeroNotZero
    ),
    (
      "overlays",
      .instance(
        .init(
          imageHashChain: .zero, imageHash: .zero, rootCNode: .zero,
          rwOverlays: .init(repeating: .init(start: 0, bytes: []), count: 1025))), .overLimit
    ),
    (
      "overlay",
      .instance(
        .init(
          imageHashChain: .zero, imageHash: .zero, rootCNode: .zero,
          rwOverlays: [.init(start: 0, bytes: [UInt8](repeating: 0, count: 1 << 24 + 1))])), .overLimit
    ),
    // Each overlay is within its limit; 300 share one array, and together they pass what SSZ's offsets can span.
    (
      "sum",
      .instance(
        .init(
          imageHashChain: .zero, imageHash: .zero, rootCNode: .zero,
          rwOverlays: .init(
            repeating: .init(start: 0, bytes: [UInt8](repeating: 0, count: 1 << 24)), count: 300))),
      .overLimit
    ),
  ]

  @Test("what breaks a rule is neither encoded nor hashed, and the error says why", arguments: broken.indices)
  func rules(index: Int) {
    let (name, cap, code) = Self.broken[index]
    #expect(Self.code { () throws(CapError) in try cap.encoded() } == code, "\(name)")
    #expect(Self.code { () throws(CapError) in try cap.hashTreeRoot() } == code, "\(name)")
  }

  @Test("references come in the order of the wire, empty fields left out, history never")
  func references() throws {
    func references(_ cap: Cap) throws -> [CapHash] {
      let wire = try cap.encoded()
      let view = try CapView(validating: wire.span.bytes)
      #expect(view.referenceCount == view.references.count)
      return view.references
    }
    #expect(try references(.data(.inline([1, 2, 3]))) == [])
    #expect(try references(.type(.init(imageHashChain: capName(1)))) == [])
    #expect(
      try references(
        .cnode(.init(sizeLog: 4, slots: [.init(slot: 3, cap: capName(1)), .init(slot: 9, cap: capName(1))])))
        == [capName(1), capName(1)])
    #expect(
      try references(.image(.init(pinned: slotList(2, seed: 10), initial: slotList(2, seed: 20))))
        == [capName(10), capName(11), capName(20), capName(21)])
    #expect(
      try references(
        .instance(.init(imageHashChain: capName(1), imageHash: capName(2), rootCNode: capName(3))))
        == [capName(2), capName(3)])
    #expect(
      try references(.instance(.init(imageHashChain: capName(1), imageHash: .zero, rootCNode: capName(3))))
        == [
          capName(3)
        ])
    #expect(
      try references(.instance(.init(imageHashChain: capName(1), imageHash: capName(2), rootCNode: .zero)))
        == [
          capName(2)
        ])
  }

  @Test("a view shows the bytes of a Data cap where they lie")
  func dataRange() throws {
    let wire = try Cap.data(.inline([7, 8, 9])).encoded()
    #expect(wire == [2, 4, 0, 0, 0, 7, 8, 9])
    let view = try CapView(validating: wire.span.bytes)
    #expect(view.dataRange == 5..<8)
    #expect(view.kind == .data)
    #expect(view.imageHashChain == nil)
    #expect((0..<5).allSatisfy { CapView.dataPrefix[$0] == wire[$0] })
    guard let bytes = view.dataBytes else {
      Issue.record("no bytes")
      return
    }
    let lies = bytes.withUnsafeBytes { inner in
      wire.withUnsafeBytes { outer in outer.baseAddress.map { $0 + 5 } == inner.baseAddress }
    }
    #expect(lies)
  }

  @Test("a slot is found by its number")
  func lookup() throws {
    let cap = Cap.cnode(
      .init(sizeLog: 12, slots: (0..<1000).map { .init(slot: UInt32(3 * $0), cap: capName($0)) }))
    let wire = try cap.encoded()
    let view = try CapView(validating: wire.span.bytes)
    guard let cnode = view.cnode else {
      Issue.record("not a CNode")
      return
    }
    #expect(cnode.sizeLog == 12)
    for slot in 0..<UInt32(4096) {
      let expected = slot % 3 == 0 && slot < 3000 ? capName(Int(slot / 3)) : nil
      #expect(cnode.slots.cap(inSlot: slot) == expected)
    }
  }

  @Test("every error has a sentence that names the field", arguments: CapError.Code.allCases)
  func sentences(code: CapError.Code) {
    let text = CapError(code, "Some.field", at: 3, value: 5, limit: 4).description
    #expect(text.count > 20)
  }
}
