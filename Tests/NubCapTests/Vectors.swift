import Foundation
import NubCap
import Testing

/// The caps of Tests/Vectors/caps.json, which an independent SSZ implementation has made; see make_vectors.py there.
struct Vectors: Decodable {
  struct Valid: Decodable, CustomTestStringConvertible {
    let name: String
    let wire: Hex
    let root: String
    var testDescription: String { name }
  }

  struct Generated: Decodable, CustomTestStringConvertible {
    let name: String
    let shape: String
    let parameters: [String: Int]
    let wireSize: Int
    let wireSha256: String
    let root: String
    var testDescription: String { name }
  }

  struct Invalid: Decodable, CustomTestStringConvertible {
    let name: String
    let code: String
    let wire: Hex
    var testDescription: String { name }
  }

  struct Hex: Decodable {
    let bytes: [UInt8]

    init(from decoder: any Decoder) throws {
      let text = try decoder.singleValueContainer().decode(String.self)
      let digits = text.utf8.map { UInt8(Character(UnicodeScalar($0)).hexDigitValue ?? 0) }
      bytes = stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
  }

  let valid: [Valid]
  let generated: [Generated]
  let invalid: [Invalid]

  static let file = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Vectors/caps.json")

  static let all: Vectors = {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      return try decoder.decode(Vectors.self, from: Data(contentsOf: file))
    } catch {
      Issue.record("\(file.path()): \(error)")
      return Vectors(valid: [], generated: [], invalid: [])
    }
  }()

  init(valid: [Valid], generated: [Generated], invalid: [Invalid]) {
    self.valid = valid
    self.generated = generated
    self.invalid = invalid
  }

  /// The JSON descriptions of the valid caps, which only NubCapJSON can read, in the order of `valid`.
  static func descriptions() throws -> [Data] {
    let object = try JSONSerialization.jsonObject(with: Data(contentsOf: file))
    let valid = try #require((object as? [String: Any])?["valid"] as? [[String: Any]])
    return try valid.map { try JSONSerialization.data(withJSONObject: #require($0["cap"])) }
  }
}

/// The rules by which make_vectors.py makes the caps that are too big to spell out.
extension Vectors.Generated {
  func cap() throws -> Cap {
    func parameter(_ name: String) throws -> Int { try #require(parameters[name]) }
    switch shape {
    case "data":
      return .data(.inline(payload(seed: try parameter("seed"), count: try parameter("size"))))
    case "zeros":
      return .data(.inline([UInt8](repeating: 0, count: try parameter("size"))))
    case "cnode":
      let slots = slotList(
        try parameter("count"), seed: try parameter("seed"), step: try parameter("step"))
      return .cnode(
        Cap.CNode(
          sizeLog: UInt8(try parameter("size_log")), slots: slots.map { .init(slot: $0.slot, cap: $0.cap) }))
    case "image":
      let seed = try parameter("seed")
      return .image(
        Cap.Image(
          codeBase: UInt64(seed), code: payload(seed: seed, count: try parameter("code")),
          endpoints: (0..<(try parameter("endpoints"))).map { endpoint("endpoint \($0)", seed: $0) },
          mappings: (0..<(try parameter("mappings"))).map { index in
            Cap.Mapping(
              start: UInt64(index * 4096), size: 4096, sourcePath: (0..<index % 9).map { UInt32($0) })
          },
          pinned: slotList(try parameter("pinned"), seed: seed),
          initial: slotList(try parameter("initial"), seed: seed + 1000, step: 3),
          yieldMarkerSlot: UInt32(seed)))
    case "instance":
      let seed = try parameter("seed")
      let size = try parameter("size")
      return .instance(
        Cap.Instance(
          imageHashChain: capName(seed), imageHash: capName(seed + 1), rootCNode: capName(seed + 2),
          rwOverlays: (0..<(try parameter("overlays"))).map { index in
            Cap.Overlay(start: UInt32(index * 4096), bytes: payload(seed: seed + index, count: size))
          },
          memSize: UInt32(seed), regs: registers(seed: seed), pc: UInt64(seed + 3),
          gasRemaining: UInt64(seed + 4)))
    default:
      throw UnknownShape(shape: shape)
    }
  }

  struct UnknownShape: Error {
    let shape: String
  }
}

/// `count` bytes of SplitMix64, each output as 8 bytes little-endian.
func payload(seed: Int, count: Int) -> [UInt8] {
  var generator = SplitMix64(state: UInt64(seed))
  return [UInt8](unsafeUninitializedCapacity: count + 8) { bytes, initialized in
    for offset in stride(from: 0, to: count, by: 8) {
      UnsafeMutableRawBufferPointer(bytes).storeBytes(
        of: generator.next().littleEndian, toByteOffset: offset, as: UInt64.self)
    }
    initialized = count
  }
}

func capName(_ seed: Int) -> CapHash {
  CapHash(payload(seed: seed, count: 32)) ?? .zero
}

func registers(seed: Int) -> Cap.Registers {
  var generator = SplitMix64(state: UInt64(seed))
  var registers = Cap.Registers()
  for index in 1..<32 { registers[index] = generator.next() }
  return registers
}

func slotList(_ count: Int, seed: Int, step: Int = 1) -> [Cap.Slot] {
  (0..<count).map { Cap.Slot(slot: UInt32($0 * step), cap: capName(seed + $0)) }
}

func endpoint(_ name: String, seed: Int) -> Cap.Endpoint {
  Cap.Endpoint(
    name: [UInt8](name.utf8), entryPC: UInt64(seed * 0x1001), stackTop: .max - UInt64(seed),
    argCNodeSlot: UInt32(seed), argCNodeSize: UInt8(truncatingIfNeeded: seed),
    initialRegs: registers(seed: seed))
}

/// Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators" (2014). Repeatable, for tests.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}
