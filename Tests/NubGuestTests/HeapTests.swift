import Foundation
import Testing

@testable import NubGuest

/// The guest's allocator, on the host.
@Suite struct HeapTests {
  /// A region that is freed with its owner.
  final class Region {
    let base: UnsafeMutableRawPointer
    let size: Int
    init(_ size: Int) {
      self.size = size
      base = .allocate(byteCount: size, alignment: 4096)
      base.initializeMemory(as: UInt8.self, repeating: 0, count: size)
    }
    deinit { base.deallocate() }
  }

  struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
  }

  @Test func aRegionThatIsTooSmallIsRefused() {
    let region = Region(8192)
    if Heap(region: region.base, size: 4096) != nil { Issue.record("a heap of 4096 bytes was made") }
  }

  @Test(arguments: [16, 32, 64, 256, 4096, 65536])
  func memoryIsAlignedAsAskedFor(alignment: Int) {
    let region = Region(4 << 20)
    guard var heap = Heap(region: region.base, size: region.size) else {
      Issue.record("no heap")
      return
    }
    for size in [0, 1, 15, 16, 17, 255, 256, 4097] {
      guard let memory = heap.allocate(size: size, alignment: alignment) else {
        Issue.record("no memory for \(size) bytes aligned to \(alignment)")
        return
      }
      #expect(UInt(bitPattern: memory) % UInt(alignment) == 0)
      #expect(Heap.usableSize(memory) >= size)
    }
  }

  @Test func whatDoesNotFitIsRefusedAndChangesNothing() {
    let region = Region(1 << 20)
    guard var heap = Heap(region: region.base, size: region.size) else {
      Issue.record("no heap")
      return
    }
    let before = heap.statistics.used
    for (size, alignment) in [(1 << 20, 16), (.max, 16), (-1, 16), (16, 1 << 30), (.max - 8, 64)]
      as [(Int, Int)]
    {
      let memory = heap.allocate(size: size, alignment: alignment)
      #expect(memory == nil)
    }
    let after = heap.statistics.used
    #expect(after == before)
  }

  @Test func everythingFreedIsOneBlockAgain() {
    let region = Region(1 << 20)
    guard var heap = Heap(region: region.base, size: region.size) else {
      Issue.record("no heap")
      return
    }
    let largest = Int(heap.statistics.size) * 9 / 10
    var blocks: [UnsafeMutableRawPointer] = []
    while let block = heap.allocate(size: 1000) { blocks.append(block) }
    let none = heap.allocate(size: largest)
    #expect(none == nil)
    for index in stride(from: 0, to: blocks.count, by: 2) { heap.release(blocks[index]) }
    for index in stride(from: 1, to: blocks.count, by: 2) { heap.release(blocks[index]) }
    let left = (heap.statistics.used, heap.statistics.allocations)
    #expect(left == (0, 0))
    let all = heap.allocate(size: largest)
    #expect(all != nil)
  }

  @Test func randomUseKeepsBlocksApart() {
    let region = Region(2 << 20)
    guard var heap = Heap(region: region.base, size: region.size) else {
      Issue.record("no heap")
      return
    }
    struct Block {
      var memory: UnsafeMutableRawPointer
      var size: Int
      var mark: UInt8
    }
    var random = Random(state: 1)
    var blocks: [Block] = []
    for step in 0..<20_000 {
      if Bool.random(using: &random) || blocks.isEmpty {
        let size = Int.random(in: 0...(step % 50 == 0 ? 100_000 : 600), using: &random)
        let alignment = 16 << Int.random(in: 0...6, using: &random)
        guard let memory = heap.allocate(size: size, alignment: alignment) else { continue }
        #expect(memory >= region.base && memory + Heap.usableSize(memory) <= region.base + region.size)
        memset(memory, Int32(step & 0xff), size)
        blocks.append(Block(memory: memory, size: size, mark: UInt8(step & 0xff)))
      } else {
        let block = blocks.remove(at: Int.random(in: 0..<blocks.count, using: &random))
        // Untouched by whoever came after it.
        if block.size > 0 {
          let bytes = UnsafeRawBufferPointer(start: block.memory, count: block.size)
          #expect(
            bytes[0] == block.mark && bytes[block.size / 2] == block.mark
              && bytes[block.size - 1] == block.mark)
        }
        heap.release(block.memory)
      }
    }
    for block in blocks { heap.release(block.memory) }
    let left = (heap.statistics.used, heap.statistics.allocations)
    #expect(left == (0, 0))
  }
}
