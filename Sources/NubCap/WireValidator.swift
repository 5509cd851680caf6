/// Checks that bytes are the one encoding of a valid cap. SSZ has no second way to write a value, as long as every offset
/// says what the parts before it imply; so what passes here encodes to the same bytes again.
struct WireValidator: ~Escapable {
  let wire: RawSpan

  @_lifetime(copy wire)
  init(wire: RawSpan) {
    self.wire = wire
  }

  func data(_ range: WireRange) throws(CapError) {
    try offsets(range, "Data", fixed: Layout.Data.fixed, at: Layout.Data.bytesOffset, count: 1)
    // The bytes themselves cannot be over their limit: it is more than a wire form has.
  }

  func type(_ range: WireRange) throws(CapError) {
    guard range.count >= Layout.TypeIdentity.fixed else { throw CapError(.truncated, "Type", at: range.end) }
    guard range.count == Layout.TypeIdentity.fixed else {
      let extra = range.count - Layout.TypeIdentity.fixed
      throw CapError(.trailingBytes, "Type", at: range.end - extra, value: UInt64(extra))
    }
  }

  func cnode(_ range: WireRange) throws(CapError) {
    try offsets(range, "CNode", fixed: Layout.CNode.fixed, at: Layout.CNode.slotsOffset, count: 1)
    let sizeLog = wire.uint8(at: range.start + Layout.CNode.sizeLog)
    guard sizeLog <= CapLimits.sizeLog else {
      throw CapError(
        .overLimit, "CNode.size_log", at: range.start, value: UInt64(sizeLog),
        limit: UInt64(CapLimits.sizeLog))
    }
    let list = WireRange(start: range.start + Layout.CNode.fixed, end: range.end)
    try slots(list, "CNode.slots", below: 1 << UInt64(sizeLog))
  }

  /// A List[Slot, 2**16] whose slot numbers are below `bound`.
  func slots(_ list: WireRange, _ name: StaticString, below bound: UInt64) throws(CapError) {
    let count = try fixedElements(list, name, size: Layout.Slot.fixed, limit: CapLimits.slots)
    var next: UInt64 = 0
    for index in 0..<count {
      let position = list.start + Layout.Slot.fixed * index
      let slot = UInt64(wire.uint32(at: position + Layout.Slot.slot))
      guard slot >= next else { throw CapError(.slotsNotAscending, name, at: position, value: slot) }
      guard slot < bound else {
        throw CapError(.slotOutOfRange, name, at: position, value: slot, limit: bound)
      }
      guard !CapHash(wire, at: position + Layout.Slot.cap).isZero else {
        throw CapError(.zeroHash, name, at: position, value: slot)
      }
      next = slot + 1
    }
  }

  /// 32 registers at `position`, which are there.
  func registers(at position: Int, _ name: StaticString) throws(CapError) {
    let zero = wire.uint64(at: position)
    guard zero == 0 else { throw CapError(.registerZeroNotZero, name, at: position, value: zero) }
  }

  // MARK: - SSZ

  /// Checks the fixed part of a container or the head of a list: `count` offsets, the first `at` bytes after the start.
  /// The first points right behind the fixed part, none before the one before it, none past the end.
  func offsets(
    _ range: WireRange, _ name: StaticString, fixed: Int, at: Int, count: Int
  ) throws(CapError) {
    guard range.count >= fixed else { throw CapError(.truncated, name, at: range.end) }
    var previous = fixed
    for index in 0..<count {
      let position = range.start + at + Layout.offsetBytes * index
      let offset = Int(wire.uint32(at: position))
      guard offset >= previous, offset <= range.count, index > 0 || offset == fixed else {
        throw CapError(.badOffset, name, at: position, value: UInt64(offset))
      }
      previous = offset
    }
  }

  /// The number of elements of a list whose elements have a size of their own.
  func variableElements(_ list: WireRange, _ name: StaticString, limit: Int) throws(CapError) -> Int {
    if list.count == 0 { return 0 }
    guard list.count >= Layout.offsetBytes else { throw CapError(.truncated, name, at: list.end) }
    let first = Int(wire.uint32(at: list.start))
    guard first > 0, first % Layout.offsetBytes == 0 else {
      throw CapError(.badOffset, name, at: list.start, value: UInt64(first))
    }
    let count = first / Layout.offsetBytes
    guard count <= limit else {
      throw CapError(.overLimit, name, at: list.start, value: UInt64(count), limit: UInt64(limit))
    }
    try offsets(list, name, fixed: first, at: 0, count: count)
    return count
  }

  /// The number of elements of a list whose elements all have `size` bytes.
  @discardableResult
  func fixedElements(_ list: WireRange, _ name: StaticString, size: Int, limit: Int) throws(CapError) -> Int {
    let count = list.count / size
    guard count <= limit else {
      throw CapError(.overLimit, name, at: list.start, value: UInt64(count), limit: UInt64(limit))
    }
    guard list.count % size == 0 else {
      let extra = list.count % size
      throw CapError(.trailingBytes, name, at: list.end - extra, value: UInt64(extra))
    }
    return count
  }
}
