import Testing

@testable import NubCap

@Suite("Properties")
struct PropertyTests {
  @Test("what is encoded decodes to itself, and view and model agree on the hash", arguments: 0..<20)
  func roundTrip(seed: Int) throws {
    var generator = CapGenerator(seed: seed)
    for _ in 0..<50 {
      let cap = generator.cap()
      let wire = try cap.encoded()
      let view = try CapView(validating: wire.span.bytes)
      #expect(Cap(view) == cap)
      #expect(try view.hashTreeRoot() == cap.hashTreeRoot())
      #expect(view.kind == cap.kind)
    }
  }

  @Test("different caps have different hashes")
  func injective() throws {
    var generator = CapGenerator(seed: 99)
    var seen: [CapHash: Cap] = [:]
    for _ in 0..<500 {
      let cap = generator.cap()
      let hash = try cap.hashTreeRoot()
      if let other = seen[hash] { #expect(other == cap) }
      seen[hash] = cap
    }
  }

  @Test("a changed wire form is refused, or is the one encoding of another cap", arguments: 0..<20)
  func mutations(seed: Int) throws {
    var generator = CapGenerator(seed: 1000 + seed)
    var accepted = 0
    for _ in 0..<40 {
      let wire = try generator.cap().encoded()
      for _ in 0..<25 {
        let changed = generator.mutated(wire)
        guard let cap = Self.decode(changed) else { continue }
        accepted += 1
        #expect(try cap.encoded() == changed)
        if changed != wire {
          #expect(try cap.hashTreeRoot() != CapView(validating: wire.span.bytes).hashTreeRoot())
        }
      }
    }
    // Mutations of payload stay valid; if none did, this test would have tested nothing.
    #expect(accepted > 0)
  }

  private static func decode(_ wire: [UInt8]) -> Cap? {
    try? Cap(decoding: wire)
  }

  @Test("the wire form may lie at any address", arguments: 0..<8)
  func unaligned(shift: Int) throws {
    var generator = CapGenerator(seed: shift)
    for _ in 0..<20 {
      let wire = try generator.cap().encoded()
      let shifted = [UInt8](repeating: 0xaa, count: shift) + wire
      let view = try CapView(validating: shifted.span.bytes.extracting(droppingFirst: shift))
      #expect(try view.hashTreeRoot() == CapView(validating: wire.span.bytes).hashTreeRoot())
    }
  }
}

/// Makes valid caps of all kinds, the same ones for the same seed.
struct CapGenerator {
  private var random: SplitMix64

  init(seed: Int) {
    random = SplitMix64(state: UInt64(seed))
  }

  private mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

  /// Small mostly, sometimes around a chunk's or a page's edge.
  private mutating func count() -> Int {
    switch below(8) {
    case 0: 0
    case 1: below(3) + 31
    case 2: below(3) + 63
    case 3: below(3) + 4095
    default: below(100)
    }
  }

  private mutating func bytes() -> [UInt8] { payload(seed: below(1 << 30), count: count()) }
  private mutating func hash() -> CapHash { capName(below(1 << 30)) }

  private mutating func slots() -> [Cap.Slot] {
    var slot = 0
    var slots: [Cap.Slot] = []
    for _ in 0..<(below(4) == 0 ? below(140) : below(5)) {
      slot += below(400)
      slots.append(Cap.Slot(slot: UInt32(slot), cap: hash()))
      slot += 1
    }
    return slots
  }

  mutating func cap() -> Cap {
    switch below(5) {
    case 0:
      return .data(.inline(bytes()))
    case 1:
      return .cnode(Cap.CNode(sizeLog: 16, slots: slots().map { .init(slot: $0.slot, cap: $0.cap) }))
    case 2:
      return .type(Cap.TypeIdentity(imageHashChain: hash()))
    case 3:
      return .instance(instance())
    default:
      return .image(image())
    }
  }

  private mutating func instance() -> Cap.Instance {
    Cap.Instance(
      imageHashChain: hash(), imageHash: below(3) == 0 ? .zero : hash(),
      rootCNode: below(3) == 0 ? .zero : hash(),
      rwOverlays: (0..<below(5)).map { _ in
        Cap.Overlay(start: UInt32(truncatingIfNeeded: random.next()), bytes: bytes())
      },
      memSize: UInt32(truncatingIfNeeded: random.next()), regs: registers(seed: below(1000)),
      pc: random.next(),
      gasRemaining: random.next())
  }

  private mutating func image() -> Cap.Image {
    var start: UInt64 = random.next() >> 1
    return Cap.Image(
      codeBase: random.next(), code: bytes(),
      endpoints: (0..<below(6)).map { index in
        let name = ["\(index)", "ß\(index)", "\(index)✓", "\(index)\u{1f600}"][below(4)]
        return endpoint(String(repeating: name, count: below(9) + 1), seed: below(1000))
      },
      mappings: (0..<below(6)).map { _ in
        let mapping = Cap.Mapping(
          start: start, size: UInt64(below(1 << 20)),
          sourcePath: (0..<below(9)).map { _ in UInt32(below(1 << 16)) })
        start += mapping.size + UInt64(below(3))
        return mapping
      },
      pinned: slots(), initial: slots(), yieldMarkerSlot: below(2) == 0 ? nil : UInt32(below(1 << 30)))
  }

  /// One to three changes: a bit, a byte, a word of four that could be an offset, bytes more or less.
  mutating func mutated(_ wire: [UInt8]) -> [UInt8] {
    var wire = wire
    for _ in 0...below(3) {
      guard wire.count > 4 else { return wire }
      // Offsets lie near the start, so every other change is there.
      let place = below(below(2) == 0 ? wire.count : min(wire.count, 64))
      switch below(6) {
      case 0: wire[place] ^= 1 << UInt8(below(8))
      case 1: wire[place] = UInt8(below(256))
      case 2:
        let word = UInt32(
          truncatingIfNeeded: [wire.count, below(64), wire.count - below(64), below(1 << 32)][below(4)])
        for (index, shift) in [0, 8, 16, 24].enumerated() where place + index < wire.count {
          wire[place + index] = UInt8(truncatingIfNeeded: word >> UInt32(shift))
        }
      case 3: wire.insert(contentsOf: payload(seed: place, count: below(6)), at: place)
      case 4: wire.removeSubrange(place..<min(wire.count, place + below(6)))
      default: wire.removeLast(below(min(wire.count, 5)))
      }
    }
    return wire
  }
}
