extension Cap {
  /// The cap that `wire` is the wire form of.
  ///
  /// Bytes are checked as ``CapView/init(validating:)`` does, before anything is allocated; what is then built is a copy
  /// with a life of its own.
  public init(decoding wire: RawSpan) throws(CapError) {
    self.init(try CapView(validating: wire))
  }

  /// The cap that `wire` is the wire form of.
  public init(decoding wire: [UInt8]) throws(CapError) {
    try unsafe self.init(decoding: wire.span.bytes)
  }

  /// An owned copy of a cap that has been checked.
  public init(_ view: borrowing CapView) {
    let wire = view.wire
    let body = view.body
    switch view.kind {
    case .instance: self = .instance(Instance(InstanceView(wire: wire, range: body)))
    case .image: self = .image(Image(ImageView(wire: wire, range: body)))
    case .data:
      let range = body.start + Layout.Data.fixed..<body.end
      self = .data(.inline([UInt8](copying: wire.extracting(range))))
    case .cnode: self = .cnode(CNode(CNodeView(wire: wire, range: body)))
    case .type: self = .type(TypeIdentity(imageHashChain: CapHash(wire, at: body.start)))
    }
  }
}

extension Cap.CNode {
  init(_ view: borrowing CNodeView) {
    var entries: [Entry] = []
    entries.reserveCapacity(view.slots.count)
    view.slots.forEach { slot, cap in entries.append(Entry(slot: slot, cap: cap)) }
    self.init(sizeLog: view.sizeLog, slots: entries)
  }
}

extension Cap.Image {
  init(_ view: borrowing ImageView) {
    self.init(
      isa: view.isa, codeBase: view.codeBase, code: [UInt8](copying: view.code),
      pinned: [Cap.Slot](view.pinned), initial: [Cap.Slot](view.initial),
      yieldMarkerSlot: view.yieldMarkerSlot)
    endpoints.reserveCapacity(view.endpointCount)
    for index in 0..<view.endpointCount {
      endpoints.append(Cap.Endpoint(view.endpoint(index)))
    }
    mappings.reserveCapacity(view.mappingCount)
    for index in 0..<view.mappingCount {
      mappings.append(Cap.Mapping(view.mapping(index)))
    }
  }
}

extension Cap.Endpoint {
  init(_ view: borrowing EndpointView) {
    self.init(
      name: [UInt8](copying: view.name), entryPC: view.entryPC, stackTop: view.stackTop,
      argCNodeSlot: view.argCNodeSlot, argCNodeSize: view.argCNodeSize)
    for index in 0..<32 { initialRegs[index] = view.initialReg(index) }
  }
}

extension Cap.Mapping {
  init(_ view: borrowing MappingView) {
    self.init(start: view.start, size: view.size)
    for index in 0..<view.stepCount { sourcePath.append(view.step(index)) }
  }
}

extension Cap.Instance {
  init(_ view: borrowing InstanceView) {
    self.init(
      imageHashChain: view.imageHashChain, imageHash: view.imageHash, rootCNode: view.rootCNode,
      memSize: view.memSize, pc: view.pc, gasRemaining: view.gasRemaining)
    for index in 0..<32 { regs[index] = view.reg(index) }
    rwOverlays.reserveCapacity(view.overlayCount)
    for index in 0..<view.overlayCount {
      let overlay = view.overlay(index)
      rwOverlays.append(Cap.Overlay(start: overlay.start, bytes: [UInt8](copying: overlay.bytes)))
    }
  }
}

extension [Cap.Slot] {
  init(_ view: borrowing SlotListView) {
    self.init()
    reserveCapacity(view.count)
    view.forEach { slot, cap in append(Cap.Slot(slot: slot, cap: cap)) }
  }
}

extension [UInt8] {
  init(copying bytes: borrowing RawSpan) {
    self = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
