import NubCap

/// The decoder of caps. What is accepted is the one encoding of its cap, with one hash whichever way it is computed.
func fuzzCap(_ input: UnsafeRawBufferPointer) {
  let wire = input.bytes
  let view: CapView
  do {
    view = try CapView(validating: wire)
  } catch {
    // Every refusal can be put in words.
    if error.description.isEmpty { fatalError("an error without words") }
    return
  }
  let hash = view.hashTreeRoot()
  var references = 0
  view.forEachReference { cap in
    if cap.isZero { fatalError("a reference to nothing") }
    references += 1
  }
  if references != view.referenceCount { fatalError("the count of references is wrong") }
  check(Cap(view), wire, hash)
}

/// The model's encoding and hash are those of the wire form that it came from.
private func check(_ cap: Cap, _ wire: RawSpan, _ hash: CapHash) {
  do {
    let again = try cap.encoded()
    let same = wire.withUnsafeBytes { $0.elementsEqual(again) }
    if !same { fatalError("the encoding is not canonical") }
    if try cap.hashTreeRoot() != hash { fatalError("model and wire form have different hashes") }
  } catch {
    fatalError("an accepted cap is refused: \(error)")
  }
}
