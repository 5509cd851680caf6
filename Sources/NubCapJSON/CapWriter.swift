import NubCap

/// Makes descriptions of caps.
enum CapWriter {
  static func value(of cap: Cap) throws(CapJSONError) -> JSONValue {
    switch cap {
    case .data(let data):
      return .object([("kind", .string("data")), ("bytes", bytes(try inline(data)))])
    case .cnode(let cnode):
      var list: [Cap.Slot] = []
      for (index, entry) in cnode.slots.enumerated() {
        guard case .hash(let cap) = entry.content else {
          throw CapJSONError(
            .noDescription, path: "slots[\(index)]",
            "is a directory's reference, which means nothing elsewhere")
        }
        list.append(Cap.Slot(slot: entry.slot, cap: cap))
      }
      return .object([
        ("kind", .string("cnode")), ("size_log", .integer(UInt64(cnode.sizeLog))), ("slots", slots(list)),
      ])
    case .type(let type):
      return .object([("kind", .string("type")), ("image_hash_chain", .string(type.imageHashChain.hex))])
    case .image(let image): return value(of: image)
    case .instance(let instance): return value(of: instance)
    }
  }

  private static func inline(_ data: Cap.Data) throws(CapJSONError) -> [UInt8] {
    switch data {
    case .inline(let bytes): return bytes
    case .paged(let paged):
      var all: [UInt8] = []
      for (index, page) in paged.pages.enumerated() {
        guard case .loaded(let bytes) = page else {
          throw CapJSONError(.noDescription, path: "bytes", "page \(index) is not loaded")
        }
        all += bytes
      }
      return all
    }
  }

  private static func value(of image: Cap.Image) -> JSONValue {
    var fields: [(key: String, value: JSONValue)] = [
      ("kind", .string("image")),
      ("isa", .integer(UInt64(image.isa))),
      ("code_base", .integer(image.codeBase)),
      ("code", bytes(image.code)),
      ("endpoints", .array(image.endpoints.map(value))),
      ("mappings", .array(image.mappings.map(value))),
      ("pinned", slots(image.pinned)),
      ("initial", slots(image.initial)),
    ]
    if let slot = image.yieldMarkerSlot { fields.append(("yield_marker_slot", .integer(UInt64(slot)))) }
    return .object(fields)
  }

  private static func value(of endpoint: Cap.Endpoint) -> JSONValue {
    .object([
      // The name of a valid cap is UTF-8.
      ("name", .string(String(decoding: endpoint.name, as: UTF8.self))),
      ("entry_pc", .integer(endpoint.entryPC)),
      ("stack_top", .integer(endpoint.stackTop)),
      ("arg_cnode_slot", .integer(UInt64(endpoint.argCNodeSlot))),
      ("arg_cnode_size", .integer(UInt64(endpoint.argCNodeSize))),
      ("initial_regs", registers(endpoint.initialRegs)),
    ])
  }

  private static func value(of mapping: Cap.Mapping) -> JSONValue {
    .object([
      ("start", .integer(mapping.start)),
      ("size", .integer(mapping.size)),
      ("source_path", .array(mapping.sourcePath.map { .integer(UInt64($0)) })),
    ])
  }

  private static func value(of instance: Cap.Instance) -> JSONValue {
    .object([
      ("kind", .string("instance")),
      ("image_hash_chain", .string(instance.imageHashChain.hex)),
      ("image_hash", .string(instance.imageHash.hex)),
      ("root_cnode", .string(instance.rootCNode.hex)),
      (
        "rw_overlays",
        .array(
          instance.rwOverlays.map {
            .object([("start", .integer(UInt64($0.start))), ("bytes", bytes($0.bytes))])
          })
      ),
      ("mem_size", .integer(UInt64(instance.memSize))),
      ("regs", registers(instance.regs)),
      ("pc", .integer(instance.pc)),
      ("gas_remaining", .integer(instance.gasRemaining)),
    ])
  }

  private static func slots(_ slots: [Cap.Slot]) -> JSONValue {
    .array(slots.map { .object([("slot", .integer(UInt64($0.slot))), ("cap", .string($0.cap.hex))]) })
  }

  private static func registers(_ registers: Cap.Registers) -> JSONValue {
    .array((0..<32).map { .integer(registers[$0]) })
  }

  private static func bytes(_ bytes: [UInt8]) -> JSONValue {
    if let text = String(validating: bytes, as: UTF8.self), text.unicodeScalars.allSatisfy(isReadable) {
      return .string("utf8:" + text)
    }
    let digits = Array("0123456789abcdef".utf8)
    var hex = Array("hex:".utf8)
    hex.reserveCapacity(4 + 2 * bytes.count)
    for byte in bytes {
      hex.append(digits[Int(byte >> 4)])
      hex.append(digits[Int(byte & 15)])
    }
    return .string(String(decoding: hex, as: UTF8.self))
  }

  private static func isReadable(_ scalar: Unicode.Scalar) -> Bool {
    // The description goes to terminals: nothing that moves their cursor or turns the direction of writing.
    switch scalar {
    case "\n", "\t", "\r": true
    default: !JSONText.mustBeEscaped(scalar)
    }
  }
}
