import NubCap

/// Makes caps from descriptions.
struct CapReader {
  let readFile: (String) throws -> [UInt8]

  func cap(_ field: JSONField) throws(CapJSONError) -> Cap {
    var fields = try JSONFields(field)
    let kind = try fields.need("kind")
    let cap: Cap
    switch try kind.string() {
    case "data": cap = .data(.inline(try fields.take("bytes")?.bytes(readFile: readFile) ?? []))
    case "cnode": cap = .cnode(try cnode(&fields))
    case "type": cap = .type(Cap.TypeIdentity(imageHashChain: try fields.need("image_hash_chain").hash()))
    case "image": cap = .image(try image(&fields))
    case "instance": cap = .instance(try instance(&fields))
    case let other:
      throw kind.error(.badValue, "\"\(other)\" is none of data, cnode, type, image, instance")
    }
    try fields.finish()
    return cap
  }

  private func cnode(_ fields: inout JSONFields) throws(CapJSONError) -> Cap.CNode {
    let sizeLog = try fields.need("size_log").integer(UInt8.self)
    let entries = try slots(fields.take("slots")).map { Cap.CNode.Entry(slot: $0.slot, cap: $0.cap) }
    return Cap.CNode(sizeLog: sizeLog, slots: entries)
  }

  private func slots(_ field: JSONField?) throws(CapJSONError) -> [Cap.Slot] {
    var slots: [Cap.Slot] = []
    for element in try field?.array() ?? [] {
      var fields = try JSONFields(element)
      slots.append(
        Cap.Slot(slot: try fields.need("slot").integer(UInt32.self), cap: try fields.need("cap").hash()))
      try fields.finish()
    }
    return slots
  }

  private func image(_ fields: inout JSONFields) throws(CapJSONError) -> Cap.Image {
    var image = Cap.Image()
    if let isa = fields.take("isa") { image.isa = try isa.integer(UInt8.self) }
    image.codeBase = try fields.take("code_base")?.integer(UInt64.self) ?? 0
    image.code = try fields.take("code")?.bytes(readFile: readFile) ?? []
    for element in try fields.take("endpoints")?.array() ?? [] {
      image.endpoints.append(try endpoint(element))
    }
    for element in try fields.take("mappings")?.array() ?? [] { image.mappings.append(try mapping(element)) }
    image.pinned = try slots(fields.take("pinned"))
    image.initial = try slots(fields.take("initial"))
    image.yieldMarkerSlot = try fields.take("yield_marker_slot")?.integer(UInt32.self)
    return image
  }

  private func endpoint(_ field: JSONField) throws(CapJSONError) -> Cap.Endpoint {
    var fields = try JSONFields(field)
    let endpoint = Cap.Endpoint(
      name: [UInt8](try fields.need("name").string().utf8),
      entryPC: try fields.take("entry_pc")?.integer(UInt64.self) ?? 0,
      stackTop: try fields.take("stack_top")?.integer(UInt64.self) ?? 0,
      argCNodeSlot: try fields.take("arg_cnode_slot")?.integer(UInt32.self) ?? 0,
      argCNodeSize: try fields.take("arg_cnode_size")?.integer(UInt8.self) ?? 0,
      initialRegs: try fields.take("initial_regs")?.registers() ?? Cap.Registers())
    try fields.finish()
    return endpoint
  }

  private func mapping(_ field: JSONField) throws(CapJSONError) -> Cap.Mapping {
    var fields = try JSONFields(field)
    var mapping = Cap.Mapping(
      start: try fields.take("start")?.integer(UInt64.self) ?? 0,
      size: try fields.take("size")?.integer(UInt64.self) ?? 0)
    for step in try fields.take("source_path")?.array() ?? [] {
      mapping.sourcePath.append(try step.integer(UInt32.self))
    }
    try fields.finish()
    return mapping
  }

  private func instance(_ fields: inout JSONFields) throws(CapJSONError) -> Cap.Instance {
    var instance = Cap.Instance(
      imageHashChain: try fields.take("image_hash_chain")?.hash() ?? .zero,
      imageHash: try fields.take("image_hash")?.hash() ?? .zero,
      rootCNode: try fields.take("root_cnode")?.hash() ?? .zero,
      memSize: try fields.take("mem_size")?.integer(UInt32.self) ?? 0,
      regs: try fields.take("regs")?.registers() ?? Cap.Registers(),
      pc: try fields.take("pc")?.integer(UInt64.self) ?? 0,
      gasRemaining: try fields.take("gas_remaining")?.integer(UInt64.self) ?? 0)
    for element in try fields.take("rw_overlays")?.array() ?? [] {
      var overlay = try JSONFields(element)
      instance.rwOverlays.append(
        Cap.Overlay(
          start: try overlay.take("start")?.integer(UInt32.self) ?? 0,
          bytes: try overlay.take("bytes")?.bytes(readFile: readFile) ?? []))
      try overlay.finish()
    }
    return instance
  }
}
