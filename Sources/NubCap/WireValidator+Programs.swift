extension WireValidator {
  func image(_ range: WireRange) throws(CapError) {
    try offsets(
      range, "Image", fixed: Layout.Image.fixed, at: Layout.Image.offsets, count: Layout.Image.offsetCount)
    let image = ImageView(wire: wire, range: range)
    guard image.isa == CapLimits.isaRV64IMAC else {
      throw CapError(.unsupportedISA, "Image.isa", at: range.start, value: UInt64(image.isa))
    }
    try fixedElements(image.field(.code), "Image.code", size: 1, limit: CapLimits.codeBytes)
    try endpoints(image.field(.endpoints))
    try mappings(image.field(.mappings))
    try slots(image.field(.pinned), "Image.pinned", below: .max)
    try slots(image.field(.initial), "Image.initial", below: .max)
    try fixedElements(image.field(.yieldMarkerSlot), "Image.yield_marker_slot", size: 4, limit: 1)
  }

  private func endpoints(_ list: WireRange) throws(CapError) {
    let count = try variableElements(list, "Image.endpoints", limit: CapLimits.endpoints)
    for index in 0..<count {
      let range = wire.element(index, of: list)
      try offsets(range, "Endpoint", fixed: Layout.Endpoint.fixed, at: Layout.Endpoint.nameOffset, count: 1)
      let name = EndpointView(wire: wire, range: range).nameRange
      try fixedElements(name, "Endpoint.name", size: 1, limit: CapLimits.nameBytes)
      try registers(at: range.start + Layout.Endpoint.initialRegs, "Endpoint.initial_regs")
      guard isUTF8(name) else { throw CapError(.nameNotUTF8, "Endpoint.name", at: name.start) }
      // At most 64 names of 64 bytes: comparing all pairs needs no memory and has a small bound.
      for other in 0..<index
      where isSame(name, EndpointView(wire: wire, range: wire.element(other, of: list)).nameRange) {
        throw CapError(.duplicateName, "Endpoint.name", at: name.start)
      }
    }
  }

  private func mappings(_ list: WireRange) throws(CapError) {
    let count = try variableElements(list, "Image.mappings", limit: CapLimits.mappings)
    for index in 0..<count {
      let range = wire.element(index, of: list)
      try offsets(
        range, "Mapping", fixed: Layout.Mapping.fixed, at: Layout.Mapping.sourcePathOffset, count: 1)
      let mapping = MappingView(wire: wire, range: range)
      try fixedElements(mapping.pathRange, "Mapping.source_path", size: 4, limit: CapLimits.pathSteps)
      let (end, wraps) = mapping.start.addingReportingOverflow(mapping.size)
      guard !wraps else {
        throw CapError(.mappingWraps, "Image.mappings", at: range.start, value: mapping.start)
      }
      for other in 0..<index {
        let earlier = MappingView(wire: wire, range: wire.element(other, of: list))
        guard max(earlier.start, mapping.start) >= min(earlier.start + earlier.size, end) else {
          throw CapError(.mappingsOverlap, "Image.mappings", at: range.start, value: mapping.start)
        }
      }
    }
  }

  func instance(_ range: WireRange) throws(CapError) {
    try offsets(
      range, "Instance", fixed: Layout.Instance.fixed, at: Layout.Instance.overlaysOffset, count: 1)
    try registers(at: range.start + Layout.Instance.regs, "Instance.regs")
    let list = InstanceView(wire: wire, range: range).overlaysRange
    let count = try variableElements(list, "Instance.rw_overlays", limit: CapLimits.overlays)
    for index in 0..<count {
      let overlay = wire.element(index, of: list)
      try offsets(overlay, "Overlay", fixed: Layout.Overlay.fixed, at: Layout.Overlay.bytesOffset, count: 1)
      let bytes = WireRange(start: overlay.start + Layout.Overlay.fixed, end: overlay.end)
      try fixedElements(bytes, "Overlay.bytes", size: 1, limit: CapLimits.overlayBytes)
    }
  }

  private func isSame(_ a: WireRange, _ b: WireRange) -> Bool {
    guard a.count == b.count else { return false }
    for index in 0..<a.count where wire.uint8(at: a.start + index) != wire.uint8(at: b.start + index) {
      return false
    }
    return true
  }

  /// Whether the bytes are well-formed UTF-8 (Unicode standard, table 3-7). By hand, because the guest has no
  /// text of its own.
  private func isUTF8(_ range: WireRange) -> Bool {
    var position = range.start
    while position < range.end {
      let lead = wire.uint8(at: position)
      position += 1
      // How many bytes follow, and between which values the first of them lies.
      let (following, low, high): (Int, UInt8, UInt8)
      switch lead {
      case 0x00...0x7f: continue
      case 0xc2...0xdf: (following, low, high) = (1, 0x80, 0xbf)
      case 0xe0: (following, low, high) = (2, 0xa0, 0xbf)
      case 0xe1...0xec, 0xee, 0xef: (following, low, high) = (2, 0x80, 0xbf)
      case 0xed: (following, low, high) = (2, 0x80, 0x9f)
      case 0xf0: (following, low, high) = (3, 0x90, 0xbf)
      case 0xf1...0xf3: (following, low, high) = (3, 0x80, 0xbf)
      case 0xf4: (following, low, high) = (3, 0x80, 0x8f)
      default: return false
      }
      guard range.end - position >= following else { return false }
      guard (low...high).contains(wire.uint8(at: position)) else { return false }
      for index in 1..<following where wire.uint8(at: position + index) & 0xc0 != 0x80 { return false }
      position += following
    }
    return true
  }
}
