/// The slots of a CNode, or those that an image pins or starts with: strictly ascending, no zero hash.
public struct SlotListView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  public var count: Int { range.count / Layout.Slot.fixed }

  /// The slot number of entry `index`, which is below `count`.
  public func slot(_ index: Int) -> UInt32 {
    wire.uint32(at: range.start + Layout.Slot.fixed * index + Layout.Slot.slot)
  }

  /// The cap of entry `index`, which is below `count`.
  public func cap(_ index: Int) -> CapHash {
    CapHash(wire, at: range.start + Layout.Slot.fixed * index + Layout.Slot.cap)
  }

  /// Calls `body` with each slot number and cap in order.
  public func forEach<E: Error>(_ body: (UInt32, CapHash) throws(E) -> Void) throws(E) {
    for index in 0..<count {
      try body(slot(index), cap(index))
    }
  }

  /// The cap in a slot, found by halving; nil if the slot is empty.
  public func cap(inSlot wanted: UInt32) -> CapHash? {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      let found = slot(middle)
      if found == wanted { return cap(middle) }
      if found < wanted { low = middle + 1 } else { high = middle }
    }
    return nil
  }
}

/// A CNode on the wire.
public struct CNodeView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  /// The binary logarithm of the number of slots.
  public var sizeLog: UInt8 { wire.uint8(at: range.start + Layout.CNode.sizeLog) }

  var slotsRange: WireRange { WireRange(start: range.start + Layout.CNode.fixed, end: range.end) }

  public var slots: SlotListView {
    @_lifetime(copy self)
    get { SlotListView(wire: wire, range: slotsRange) }
  }
}

/// An image on the wire.
public struct ImageView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  /// The fields that have offsets, in the order of the schema.
  enum Field: Int {
    case code, endpoints, mappings, pinned, initial, yieldMarkerSlot
  }

  func field(_ field: Field) -> WireRange {
    wire.part(
      of: range, offsets: Layout.Image.offsets, index: field.rawValue, count: Layout.Image.offsetCount)
  }

  public var isa: UInt8 { wire.uint8(at: range.start + Layout.Image.isa) }
  public var codeBase: UInt64 { wire.uint64(at: range.start + Layout.Image.codeBase) }

  public var code: RawSpan {
    @_lifetime(copy self)
    get {
      let code = field(.code)
      return wire.extracting(code.start..<code.end)
    }
  }

  public var endpointCount: Int { wire.elementCount(of: field(.endpoints)) }

  /// Endpoint `index`, which is below `endpointCount`.
  @_lifetime(copy self)
  public func endpoint(_ index: Int) -> EndpointView {
    EndpointView(wire: wire, range: wire.element(index, of: field(.endpoints)))
  }

  public var mappingCount: Int { wire.elementCount(of: field(.mappings)) }

  /// Mapping `index`, which is below `mappingCount`.
  @_lifetime(copy self)
  public func mapping(_ index: Int) -> MappingView {
    MappingView(wire: wire, range: wire.element(index, of: field(.mappings)))
  }

  public var pinned: SlotListView {
    @_lifetime(copy self)
    get { SlotListView(wire: wire, range: field(.pinned)) }
  }

  public var initial: SlotListView {
    @_lifetime(copy self)
    get { SlotListView(wire: wire, range: field(.initial)) }
  }

  public var yieldMarkerSlot: UInt32? {
    let slot = field(.yieldMarkerSlot)
    return slot.count == 0 ? nil : wire.uint32(at: slot.start)
  }
}

/// An endpoint of an image on the wire.
public struct EndpointView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  var nameRange: WireRange { WireRange(start: range.start + Layout.Endpoint.fixed, end: range.end) }

  /// UTF-8.
  public var name: RawSpan {
    @_lifetime(copy self)
    get { wire.extracting(nameRange.start..<nameRange.end) }
  }

  public var entryPC: UInt64 { wire.uint64(at: range.start + Layout.Endpoint.entryPC) }
  public var stackTop: UInt64 { wire.uint64(at: range.start + Layout.Endpoint.stackTop) }
  public var argCNodeSlot: UInt32 { wire.uint32(at: range.start + Layout.Endpoint.argCNodeSlot) }
  public var argCNodeSize: UInt8 { wire.uint8(at: range.start + Layout.Endpoint.argCNodeSize) }

  /// Register `index`, which is below 32.
  public func initialReg(_ index: Int) -> UInt64 {
    wire.uint64(at: range.start + Layout.Endpoint.initialRegs + 8 * index)
  }
}

/// A mapping of an image on the wire.
public struct MappingView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  public var start: UInt64 { wire.uint64(at: range.start + Layout.Mapping.start) }
  public var size: UInt64 { wire.uint64(at: range.start + Layout.Mapping.size) }

  var pathRange: WireRange { WireRange(start: range.start + Layout.Mapping.fixed, end: range.end) }

  public var stepCount: Int { pathRange.count / 4 }

  /// Step `index` of the source path, which is below `stepCount`.
  public func step(_ index: Int) -> UInt32 { wire.uint32(at: pathRange.start + 4 * index) }
}

/// An instance on the wire.
public struct InstanceView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  public var imageHashChain: CapHash { CapHash(wire, at: range.start + Layout.Instance.imageHashChain) }
  /// Zero: none.
  public var imageHash: CapHash { CapHash(wire, at: range.start + Layout.Instance.imageHash) }
  /// Zero: none.
  public var rootCNode: CapHash { CapHash(wire, at: range.start + Layout.Instance.rootCNode) }
  public var memSize: UInt32 { wire.uint32(at: range.start + Layout.Instance.memSize) }
  public var pc: UInt64 { wire.uint64(at: range.start + Layout.Instance.pc) }
  public var gasRemaining: UInt64 { wire.uint64(at: range.start + Layout.Instance.gasRemaining) }

  /// Register `index`, which is below 32.
  public func reg(_ index: Int) -> UInt64 { wire.uint64(at: range.start + Layout.Instance.regs + 8 * index) }

  var overlaysRange: WireRange { WireRange(start: range.start + Layout.Instance.fixed, end: range.end) }

  public var overlayCount: Int { wire.elementCount(of: overlaysRange) }

  /// Overlay `index`, which is below `overlayCount`.
  @_lifetime(copy self)
  public func overlay(_ index: Int) -> OverlayView {
    OverlayView(wire: wire, range: wire.element(index, of: overlaysRange))
  }
}

/// An overlay of an instance on the wire.
public struct OverlayView: ~Escapable, Sendable {
  let wire: RawSpan
  let range: WireRange

  @_lifetime(copy wire)
  init(wire: RawSpan, range: WireRange) {
    self.wire = wire
    self.range = range
  }

  public var start: UInt32 { wire.uint32(at: range.start + Layout.Overlay.start) }

  public var bytes: RawSpan {
    @_lifetime(copy self)
    get { wire.extracting(range.start + Layout.Overlay.fixed..<range.end) }
  }
}
