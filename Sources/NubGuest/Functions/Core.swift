import CNubGuest
import NubABI
import NubCap

@c(nub_fn_1_echo)
public func echo(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in try call.write(call.payload) }
}

@c(nub_fn_2_heap_stats)
public func heapStats(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let runtime = call.runtime
    let heap = runtime.statistics()
    try call.write(heap.size)
    try call.write(heap.used)
    try call.write(heap.peak)
    try call.write(heap.allocations)
    try call.write(UInt64(runtime.directory.count))
    try call.write(runtime.directory.bytes)
  }
}

@c(nub_fn_4_put_cap)
public func putCap(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    try call.write(try call.runtime.file(call.payload) ?? CapHash.refused)
  }
}

@c(nub_fn_5_get_boot_info)
public func getBootInfo(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in try call.runtime.writeBootInfo(to: call) }
}

@c(nub_fn_6_evict)
public func evict(_ call: NubCall?) -> UInt32 {
  GuestCall.run(call) { call throws(GuestError) in
    let payload = call.payload
    guard payload.count % CapHash.byteCount == 0 else {
      throw .badPayload("the payload is not n × 32-byte hashes")
    }
    var removed: UInt64 = 0
    if payload.isEmpty {
      removed = call.runtime.directory.removeAll()
    } else {
      for start in stride(from: 0, to: payload.count, by: CapHash.byteCount) {
        let bytes = UnsafeRawBufferPointer(rebasing: payload[start..<(start + CapHash.byteCount)])
        if let hash = CapHash(bytes), call.runtime.directory.remove(hash) { removed += 1 }
      }
    }
    try call.write(removed)
  }
}
