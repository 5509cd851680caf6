extension CapView {
  /// Calls `body` with every cap that this one refers to, in the order of the wire: a CNode's slots; an Image's `pinned`,
  /// then `initial`; an Instance's `image_hash`, then `root_cnode`.
  ///
  /// A hash may come more than once. A zero `image_hash` or `root_cnode` is an empty field, not a reference (in slots the
  /// zero hash is refused). `image_hash_chain` is history and never a reference.
  public func forEachReference<E: Error>(_ body: (CapHash) throws(E) -> Void) throws(E) {
    switch kind {
    case .data, .type:
      break
    case .cnode:
      try SlotListView(wire: wire, range: CNodeView(wire: wire, range: self.body).slotsRange)
        .forEach { (_, cap) throws(E) in try body(cap) }
    case .image:
      let image = ImageView(wire: wire, range: self.body)
      try image.pinned.forEach { (_, cap) throws(E) in try body(cap) }
      try image.initial.forEach { (_, cap) throws(E) in try body(cap) }
    case .instance:
      let instance = InstanceView(wire: wire, range: self.body)
      if !instance.imageHash.isZero { try body(instance.imageHash) }
      if !instance.rootCNode.isZero { try body(instance.rootCNode) }
    }
  }

  /// How many times `forEachReference` calls.
  public var referenceCount: Int {
    switch kind {
    case .data, .type:
      return 0
    case .cnode:
      return CNodeView(wire: wire, range: body).slots.count
    case .image:
      let image = ImageView(wire: wire, range: body)
      return image.pinned.count + image.initial.count
    case .instance:
      let instance = InstanceView(wire: wire, range: body)
      return (instance.imageHash.isZero ? 0 : 1) + (instance.rootCNode.isZero ? 0 : 1)
    }
  }

  #if !hasFeature(Embedded)
    /// The caps that this one refers to, as `forEachReference` gives them.
    public var references: [CapHash] {
      var all: [CapHash] = []
      all.reserveCapacity(referenceCount)
      forEachReference { all.append($0) }
      return all
    }
  #endif
}
