// The bare-metal half of an image: where ring 3 begins, and the C library functions that the compiler takes for granted.
import CNubABI
import CNubGuest
import NubABI
import NubGuestKit

/// The guest's one heap. Set once by the entry, before anything allocates; there is one vCPU and so no other thread.
nonisolated(unsafe) private var heap: Heap?

/// The bounds of the function table, from the build.
@_extern(c, "nub_function_table") func nubFunctionTable() -> UnsafePointer<nub_function_entry>
@_extern(c, "nub_function_table_count") func nubFunctionTableCount() -> Int

/// The first instruction of the guest: CPL 3, long mode, interrupts irrelevant, the stack empty, everything else zero.
@c(nub_entry)
public func nubEntry() {
  guard let page = UnsafeRawPointer(bitPattern: UInt(MemoryMap.hostControl)) else { return }
  let host = page.assumingMemoryBound(to: nub_host_control.self)
  guard let region = UnsafeMutableRawPointer(bitPattern: UInt(host.pointee.heap_base)) else { return }
  heap = Heap(region: region, size: Int(host.pointee.heap_size))
  let table = FunctionTable(
    sorted: UnsafeBufferPointer(start: nubFunctionTable(), count: nubFunctionTableCount()))
  guard
    let runtime = GuestRuntime(
      host: host, functions: table, isIsolated: true, statistics: { heap?.statistics ?? Heap.Statistics() },
      context: nil, doorbell: { _ in nub_cpu_doorbell() })
  else {
    // The host sees an undefined instruction before the first doorbell, and reports that start-up failed.
    nub_cpu_fault_invalid_opcode()
    return
  }
  runtime.ring(NUB_DOORBELL_READY)
  while true {
    runtime.runBatch()
    runtime.ring(NUB_DOORBELL_BATCH_DONE)
  }
}

// What memory.c makes the C library's allocation functions of.

@c(nub_heap_allocate)
public func nubHeapAllocate(_ size: Int, _ alignment: Int) -> UnsafeMutableRawPointer? {
  heap?.allocate(size: size, alignment: alignment)
}

@c(nub_heap_allocate_zeroed)
public func nubHeapAllocateZeroed(_ size: Int, _ alignment: Int) -> UnsafeMutableRawPointer? {
  heap?.allocateZeroed(size: size, alignment: alignment)
}

@c(nub_heap_release)
public func nubHeapRelease(_ pointer: UnsafeMutableRawPointer?) {
  if let pointer { heap?.release(pointer) }
}

@c(nub_heap_usable)
public func nubHeapUsable(_ pointer: UnsafeMutableRawPointer) -> Int { Heap.usableSize(pointer) }

/// Seeds Swift's hash tables. The host's seed differs between sandboxes; nothing secret depends on it.
@c(arc4random_buf)
public func nubRandom(_ target: UnsafeMutableRawPointer?, _ count: Int) {
  guard let target, let page = UnsafeRawPointer(bitPattern: UInt(MemoryMap.hostControl)) else { return }
  var state = page.assumingMemoryBound(to: nub_host_control.self).pointee.seed.0
  for index in 0..<max(count, 0) {
    // splitmix64 (Steele, Lea, Flood, OOPSLA 2014)
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    target.storeBytes(of: UInt8(truncatingIfNeeded: word ^ (word >> 31)), toByteOffset: index, as: UInt8.self)
  }
}
