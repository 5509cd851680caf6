/// A general-purpose allocator over one region of memory: two-level segregated fit (Masmano et al., ECRTS 2004), so
/// allocating and freeing take constant time, neighbours that are free are joined, and nothing is touched before use.
///
/// A block is a 16-byte header and its payload. The header's first word is the payload size with two flags in its low
/// bits, the second the payload size of the block in front, valid while that block is free. Free blocks keep the links
/// of their list in the payload. Not thread-safe: a guest has one vCPU.
public struct Heap: ~Copyable {
  public struct Statistics: Sendable {
    public var size: UInt64 = 0
    public var used: UInt64 = 0
    public var peak: UInt64 = 0
    public var allocations: UInt64 = 0

    public init() {}
  }

  private typealias Block = UnsafeMutableRawPointer

  private static var headerSize: Int { 16 }
  private static var minimumPayload: Int { 16 }
  private static var free: UInt64 { 1 }
  private static var previousFree: UInt64 { 2 }
  private static var secondLevelBits: Int { 4 }
  private static var secondLevelCount: Int { 1 << secondLevelBits }
  private static var firstLevelCount: Int { 44 }
  /// Sizes below this share the first row of lists, one list for each multiple of 16.
  private static var smallSize: Int { 256 }

  public private(set) var statistics = Statistics()
  private let region: UnsafeMutableRawPointer
  private let heads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private let secondLevel: UnsafeMutablePointer<UInt32>
  private var firstLevel: UInt64 = 0
  /// From here to the end of the region nothing was written but what ``insert`` leaves in a free block, see
  /// ``allocateZeroed(size:alignment:)``.
  private var untouched: UnsafeMutableRawPointer

  /// Takes over `size` bytes of zeroed memory at `region`, aligned to 16. Returns nil when it is too small to be useful.
  public init?(region: UnsafeMutableRawPointer, size: Int) {
    let headBytes =
      Heap.firstLevelCount * Heap.secondLevelCount * MemoryLayout<UnsafeMutableRawPointer?>.stride
    let bitmapBytes = Heap.firstLevelCount * MemoryLayout<UInt32>.stride
    let bookkeeping = (headBytes + bitmapBytes + 15) & ~15
    let usable = (size & ~15) - bookkeeping - 2 * Heap.headerSize
    guard usable >= 4096 else { return nil }
    self.region = region
    self.heads = region.assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
    self.secondLevel = (region + headBytes).assumingMemoryBound(to: UInt32.self)
    statistics.size = UInt64(usable)
    untouched = region + bookkeeping

    let first = region + bookkeeping
    setWord(first, UInt64(usable))
    // The block of size zero at the end is never free, so joining stops there.
    setWord(Heap.next(first, size: usable), 0)
    insert(first, size: usable)
  }

  /// Memory of at least `size` bytes, aligned to `alignment` (a power of two), or nil.
  public mutating func allocate(size: Int, alignment: Int = 16) -> UnsafeMutableRawPointer? {
    guard size >= 0, size < Int(statistics.size) else { return nil }
    let wanted = max((size + 15) & ~15, Heap.minimumPayload)
    let extra = alignment > 16 ? alignment + Heap.headerSize + Heap.minimumPayload : 0
    guard extra < Int(statistics.size), let found = take(atLeast: wanted + extra) else { return nil }
    let block = extra > 0 ? align(found, to: alignment) : found
    split(block, to: wanted)
    let taken = Heap.size(block)
    statistics.used &+= UInt64(taken + Heap.headerSize)
    statistics.peak = max(statistics.peak, statistics.used)
    statistics.allocations &+= 1
    // Behind it lies at most the header and the links of what was cut off.
    untouched = max(untouched, Heap.next(block, size: taken) + 2 * Heap.headerSize)
    return block + Heap.headerSize
  }

  /// Zeroed memory. What has never been handed out is zero already, as it came from the host, and is not written: a page
  /// of a large table that nobody uses costs nothing.
  public mutating func allocateZeroed(size: Int, alignment: Int = 16) -> UnsafeMutableRawPointer? {
    let before = untouched
    guard let memory = allocate(size: size, alignment: alignment) else { return nil }
    let old = before > memory ? min(memory.distance(to: before), size) : 0
    // The links of the free block that this was.
    let dirty = min(max(old, 2 * Heap.headerSize), Heap.usableSize(memory))
    unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: dirty)
    return memory
  }

  /// Gives back what ``allocate(size:alignment:)`` returned.
  public mutating func release(_ pointer: UnsafeMutableRawPointer) {
    var block = pointer - Heap.headerSize
    var size = Heap.size(block)
    statistics.used &-= UInt64(size + Heap.headerSize)
    statistics.allocations &-= 1

    let following = Heap.next(block, size: size)
    if Heap.word(following) & Heap.free != 0 {
      let followingSize = Heap.size(following)
      remove(following, size: followingSize)
      size += Heap.headerSize + followingSize
    }
    if Heap.word(block) & Heap.previousFree != 0 {
      let previousSize = Int((block + 8).load(as: UInt64.self))
      block -= Heap.headerSize + previousSize
      remove(block, size: previousSize)
      size += Heap.headerSize + previousSize
    }
    setWord(block, UInt64(size) | (Heap.word(block) & Heap.previousFree))
    insert(block, size: size)
  }

  /// Bytes that may be used at `pointer`, at least what was asked for.
  public static func usableSize(_ pointer: UnsafeMutableRawPointer) -> Int { size(pointer - headerSize) }

  // MARK: Blocks

  private static func word(_ block: Block) -> UInt64 { block.load(as: UInt64.self) }
  private func setWord(_ block: Block, _ word: UInt64) { block.storeBytes(of: word, as: UInt64.self) }
  private static func size(_ block: Block) -> Int { Int(word(block) & ~15) }
  private static func next(_ block: Block, size: Int) -> Block { block + headerSize + size }

  /// Cuts what is not needed off the end of a block that is not in a list.
  private mutating func split(_ block: Block, to wanted: Int) {
    let size = Heap.size(block)
    let rest = size - wanted - Heap.headerSize
    guard rest >= Heap.minimumPayload else { return }
    setWord(block, UInt64(wanted) | (Heap.word(block) & Heap.previousFree))
    let tail = Heap.next(block, size: wanted)
    setWord(tail, UInt64(rest))
    insert(tail, size: rest)
  }

  /// Moves the start of a block that is not in a list so that its payload is aligned; what lies in front becomes free.
  private mutating func align(_ block: Block, to alignment: Int) -> Block {
    let payload = UInt(bitPattern: block + Heap.headerSize)
    let mask = UInt(alignment - 1)
    if payload & mask == 0 { return block }
    var aligned = (payload + mask) & ~mask
    while aligned - payload < UInt(Heap.headerSize + Heap.minimumPayload) { aligned += UInt(alignment) }
    let gap = Int(aligned - payload)
    let size = Heap.size(block)
    let moved = block + gap
    setWord(moved, UInt64(size - gap))
    let front = gap - Heap.headerSize
    setWord(block, UInt64(front) | (Heap.word(block) & Heap.previousFree))
    insert(block, size: front)
    return moved
  }

  // MARK: Lists

  private static func list(for size: Int) -> (row: Int, column: Int) {
    if size < smallSize { return (0, size / 16) }
    let log = Int.bitWidth - 1 - size.leadingZeroBitCount
    let column = (size >> (log - secondLevelBits)) & (secondLevelCount - 1)
    return (log - 7, column)
  }

  private func head(_ row: Int, _ column: Int) -> UnsafeMutablePointer<UnsafeMutableRawPointer?> {
    heads + (row * Heap.secondLevelCount + column)
  }

  private static func links(_ block: Block) -> UnsafeMutablePointer<UnsafeMutableRawPointer?> {
    (block + headerSize).assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
  }

  /// Puts a block into its list, marks it free, and tells the block behind it.
  private mutating func insert(_ block: Block, size: Int) {
    let (row, column) = Heap.list(for: size)
    let slot = head(row, column)
    let links = Heap.links(block)
    links[0] = slot.pointee
    links[1] = nil
    if let old = slot.pointee { Heap.links(old)[1] = block }
    slot.pointee = block
    secondLevel[row] |= 1 << UInt32(column)
    firstLevel |= 1 << UInt64(row)

    setWord(block, Heap.word(block) | Heap.free)
    let following = Heap.next(block, size: size)
    setWord(following, Heap.word(following) | Heap.previousFree)
    (following + 8).storeBytes(of: UInt64(size), as: UInt64.self)
  }

  private mutating func remove(_ block: Block, size: Int) {
    let (row, column) = Heap.list(for: size)
    let links = Heap.links(block)
    if let after = links[0] { Heap.links(after)[1] = links[1] }
    if let before = links[1] {
      Heap.links(before)[0] = links[0]
    } else {
      head(row, column).pointee = links[0]
      if links[0] == nil {
        secondLevel[row] &= ~(1 << UInt32(column))
        if secondLevel[row] == 0 { firstLevel &= ~(1 << UInt64(row)) }
      }
    }
    setWord(block, Heap.word(block) & ~Heap.free)
    let following = Heap.next(block, size: size)
    setWord(following, Heap.word(following) & ~Heap.previousFree)
  }

  /// A block out of the smallest list whose every block is large enough.
  private mutating func take(atLeast wanted: Int) -> Block? {
    // Rounding up to the next list's start makes each block found there fit without looking at it.
    var rounded = wanted
    if wanted >= Heap.smallSize {
      let log = Int.bitWidth - 1 - wanted.leadingZeroBitCount
      rounded += (1 << (log - Heap.secondLevelBits)) - 1
    }
    var (row, column) = Heap.list(for: rounded)
    guard row < Heap.firstLevelCount else { return nil }
    var columns = secondLevel[row] & (UInt32.max << UInt32(column))
    if columns == 0 {
      let rows = row + 1 < 64 ? firstLevel & (UInt64.max << UInt64(row + 1)) : 0
      guard rows != 0 else { return nil }
      row = rows.trailingZeroBitCount
      columns = secondLevel[row]
    }
    column = columns.trailingZeroBitCount
    guard let block = head(row, column).pointee else { return nil }
    remove(block, size: Heap.size(block))
    return block
  }
}
