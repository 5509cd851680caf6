extension Cap {
  /// The wire form.
  ///
  /// One allocation, of the exact size. What comes out has been checked by the same code that checks what comes in, so
  /// a cap that anybody would refuse never leaves.
  ///
  /// - Throws: `missingPage` and `unresolvedReference` for what has no wire form; otherwise the rule that is broken.
  public func encoded() throws(CapError) -> [UInt8] {
    let wire = try encodedUnchecked()
    _ = try unsafe CapView(validating: wire.span.bytes)
    return wire
  }

  /// The wire form, or one that breaks rules other than the limits.
  func encodedUnchecked() throws(CapError) -> [UInt8] {
    let value = try valueByteCount()
    guard value < CapLimits.wireBytes else {
      throw CapError(.overLimit, "Cap", value: value + 1, limit: CapLimits.wireBytes)
    }
    var writer = WireWriter(byteCount: 1 + Int(value))
    writer.append(kind.rawValue)
    switch self {
    case .instance(let instance): instance.write(to: &writer)
    case .image(let image): image.write(to: &writer)
    case .data(let data): try data.write(to: &writer)
    case .cnode(let cnode): try cnode.write(to: &writer)
    case .type(let type): writer.append(type.imageHashChain)
    }
    return writer.bytes
  }

  /// The size of the wire form after the selector. Lists that are over their limit are refused before anything is
  /// allocated for them.
  private func valueByteCount() throws(CapError) -> UInt64 {
    switch self {
    case .instance(let instance): try instance.wireByteCount()
    case .image(let image): try image.wireByteCount()
    case .data(let data): UInt64(Layout.Data.fixed) + data.byteCount
    case .cnode(let cnode): try cnode.wireByteCount()
    case .type: UInt64(Layout.TypeIdentity.fixed)
    }
  }
}

/// Writes SSZ into an array that has its final size reserved.
struct WireWriter {
  private(set) var bytes: [UInt8] = []

  init(byteCount: Int) {
    bytes.reserveCapacity(byteCount)
  }

  mutating func append(_ value: UInt8) {
    bytes.append(value)
  }

  mutating func append(_ value: UInt32) {
    for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value &>> UInt32(8 * shift))) }
  }

  mutating func append(_ value: UInt64) {
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value &>> UInt64(8 * shift))) }
  }

  /// An offset, or a size that makes one. The whole is below 2^32 bytes, so every part of it is.
  mutating func append(offset: Int) {
    append(UInt32(truncatingIfNeeded: offset))
  }

  mutating func append(_ hash: CapHash) {
    unsafe hash.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  mutating func append(_ more: [UInt8]) {
    bytes.append(contentsOf: more)
  }

  mutating func append(_ registers: Cap.Registers) {
    for index in 0..<32 { append(registers[index]) }
  }

  mutating func append(_ slots: [Cap.Slot]) {
    for slot in slots {
      append(slot.slot)
      append(slot.cap)
    }
  }
}

/// Throws if a list has more entries than the schema allows.
func checkLimit(_ count: Int, _ limit: Int, _ field: StaticString) throws(CapError) {
  guard count <= limit else {
    throw CapError(.overLimit, field, value: UInt64(count), limit: UInt64(limit))
  }
}

extension Cap.Data {
  func write(to writer: inout WireWriter) throws(CapError) {
    writer.append(offset: Layout.Data.fixed)
    switch self {
    case .inline(let bytes):
      writer.append(bytes)
    case .paged(let paged):
      for (index, page) in paged.pages.enumerated() {
        guard case .loaded(let bytes) = page else {
          throw CapError(.missingPage, "Data.bytes", value: UInt64(index))
        }
        writer.append(bytes)
      }
    }
  }
}

extension Cap.CNode {
  func wireByteCount() throws(CapError) -> UInt64 {
    try checkLimit(slots.count, CapLimits.slots, "CNode.slots")
    return UInt64(Layout.CNode.fixed + Layout.Slot.fixed * slots.count)
  }

  func write(to writer: inout WireWriter) throws(CapError) {
    writer.append(sizeLog)
    writer.append(offset: Layout.CNode.fixed)
    for entry in slots {
      guard case .hash(let cap) = entry.content else {
        throw CapError(.unresolvedReference, "CNode.slots", value: UInt64(entry.slot))
      }
      writer.append(entry.slot)
      writer.append(cap)
    }
  }
}

extension Cap.Instance {
  func wireByteCount() throws(CapError) -> UInt64 {
    try checkLimit(rwOverlays.count, CapLimits.overlays, "Instance.rw_overlays")
    var total = UInt64(Layout.Instance.fixed)
    for overlay in rwOverlays {
      try checkLimit(overlay.bytes.count, CapLimits.overlayBytes, "Overlay.bytes")
      total += UInt64(Layout.offsetBytes + Layout.Overlay.fixed + overlay.bytes.count)
    }
    return total
  }

  func write(to writer: inout WireWriter) {
    writer.append(imageHashChain)
    writer.append(imageHash)
    writer.append(rootCNode)
    writer.append(offset: Layout.Instance.fixed)
    writer.append(memSize)
    writer.append(regs)
    writer.append(pc)
    writer.append(gasRemaining)
    var offset = Layout.offsetBytes * rwOverlays.count
    for overlay in rwOverlays {
      writer.append(offset: offset)
      offset += Layout.Overlay.fixed + overlay.bytes.count
    }
    for overlay in rwOverlays {
      writer.append(overlay.start)
      writer.append(offset: Layout.Overlay.fixed)
      writer.append(overlay.bytes)
    }
  }
}

extension Cap.Image {
  private var endpointsByteCount: Int {
    endpoints.reduce(0) { $0 + Layout.offsetBytes + Layout.Endpoint.fixed + $1.name.count }
  }

  private var mappingsByteCount: Int {
    mappings.reduce(0) { $0 + Layout.offsetBytes + Layout.Mapping.fixed + 4 * $1.sourcePath.count }
  }

  func wireByteCount() throws(CapError) -> UInt64 {
    try checkLimit(code.count, CapLimits.codeBytes, "Image.code")
    try checkLimit(endpoints.count, CapLimits.endpoints, "Image.endpoints")
    for endpoint in endpoints { try checkLimit(endpoint.name.count, CapLimits.nameBytes, "Endpoint.name") }
    try checkLimit(mappings.count, CapLimits.mappings, "Image.mappings")
    for mapping in mappings {
      try checkLimit(mapping.sourcePath.count, CapLimits.pathSteps, "Mapping.source_path")
    }
    try checkLimit(pinned.count, CapLimits.slots, "Image.pinned")
    try checkLimit(initial.count, CapLimits.slots, "Image.initial")
    return UInt64(
      Layout.Image.fixed + code.count + endpointsByteCount + mappingsByteCount
        + Layout.Slot.fixed * (pinned.count + initial.count) + (yieldMarkerSlot == nil ? 0 : 4))
  }

  func write(to writer: inout WireWriter) {
    writer.append(isa)
    writer.append(codeBase)
    var offset = Layout.Image.fixed
    for size in [
      code.count, endpointsByteCount, mappingsByteCount, Layout.Slot.fixed * pinned.count,
      Layout.Slot.fixed * initial.count, 0,
    ] {
      writer.append(offset: offset)
      offset += size
    }
    writer.append(code)
    writeEndpoints(to: &writer)
    writeMappings(to: &writer)
    writer.append(pinned)
    writer.append(initial)
    if let yieldMarkerSlot { writer.append(yieldMarkerSlot) }
  }

  private func writeEndpoints(to writer: inout WireWriter) {
    var offset = Layout.offsetBytes * endpoints.count
    for endpoint in endpoints {
      writer.append(offset: offset)
      offset += Layout.Endpoint.fixed + endpoint.name.count
    }
    for endpoint in endpoints {
      writer.append(offset: Layout.Endpoint.fixed)
      writer.append(endpoint.entryPC)
      writer.append(endpoint.stackTop)
      writer.append(endpoint.argCNodeSlot)
      writer.append(endpoint.argCNodeSize)
      writer.append(endpoint.initialRegs)
      writer.append(endpoint.name)
    }
  }

  private func writeMappings(to writer: inout WireWriter) {
    var offset = Layout.offsetBytes * mappings.count
    for mapping in mappings {
      writer.append(offset: offset)
      offset += Layout.Mapping.fixed + 4 * mapping.sourcePath.count
    }
    for mapping in mappings {
      writer.append(mapping.start)
      writer.append(mapping.size)
      writer.append(offset: Layout.Mapping.fixed)
      for step in mapping.sourcePath { writer.append(step) }
    }
  }
}
