import Foundation
import NubCap
import NubCapJSON
import Testing

@Suite("Vectors of an independent SSZ implementation")
struct VectorTests {
  @Test("the file has all three lists")
  func fileIsThere() {
    #expect(Vectors.all.valid.count >= 49)
    #expect(Vectors.all.generated.count >= 31)
    #expect(Vectors.all.invalid.count >= 125)
  }

  @Test(
    "a valid wire form is accepted, hashes to its root, and encodes to itself", arguments: Vectors.all.valid)
  func valid(_ vector: Vectors.Valid) throws {
    let view = try CapView(validating: vector.wire.bytes.span.bytes)
    #expect(view.hashTreeRoot().hex == vector.root)
    let cap = Cap(view)
    #expect(try cap.encoded() == vector.wire.bytes)
    #expect(try cap.hashTreeRoot().hex == vector.root)
  }

  @Test("a description encodes to the wire form, and the wire form describes itself")
  func descriptions() throws {
    let descriptions = try Vectors.descriptions()
    #expect(descriptions.count == Vectors.all.valid.count)
    for (vector, description) in zip(Vectors.all.valid, descriptions) {
      let cap = try CapJSON.cap(from: description)
      #expect(try cap.encoded() == vector.wire.bytes, "\(vector.name)")
      let text = try CapJSON.json(for: Cap(decoding: vector.wire.bytes))
      #expect(try CapJSON.cap(from: Data(text.utf8)) == cap, "\(vector.name)")
    }
  }

  @Test("a cap made by rule has the wire form and the root", arguments: Vectors.all.generated)
  func generated(_ vector: Vectors.Generated) throws {
    let cap = try vector.cap()
    let wire = try cap.encoded()
    #expect(wire.count == vector.wireSize)
    #expect(SHA256.hash(wire).hex == vector.wireSha256)
    #expect(try cap.hashTreeRoot().hex == vector.root)
    let view = try CapView(validating: wire.span.bytes)
    #expect(view.hashTreeRoot().hex == vector.root)
    #expect(Cap(view) == cap)
  }

  @Test("bytes that are no cap are refused, with the reason", arguments: Vectors.all.invalid)
  func invalid(_ vector: Vectors.Invalid) {
    let error = #expect(throws: CapError.self) { try Cap(decoding: vector.wire.bytes) }
    #expect(error.map { "\($0.code)" } == vector.code)
  }

  @Test("every cut of a valid wire form is refused or is another cap", arguments: Vectors.all.valid)
  func cuts(_ vector: Vectors.Valid) throws {
    for length in 0..<vector.wire.bytes.count {
      let cut = [UInt8](vector.wire.bytes.prefix(length))
      guard let cap = try? Cap(decoding: cut) else { continue }
      #expect(try cap.encoded() == cut)
      #expect(try cap.hashTreeRoot().hex != vector.root)
    }
  }
}
