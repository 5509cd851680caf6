/// A part of a cap's wire form, by its bytes' positions in the whole.
struct WireRange {
  let start: Int
  let end: Int

  var count: Int { end - start }
}

/// Where the fields of the schema's containers lie, in bytes from the start of the container, and how long the
/// containers' fixed parts are. SSZ puts a fixed-size field in place, and for a variable one a 32-bit offset from the
/// start of the container.
enum Layout {
  static let offsetBytes = 4

  enum Data {
    static let bytesOffset = 0
    static let fixed = 4
  }

  enum CNode {
    static let sizeLog = 0
    static let slotsOffset = 1
    static let fixed = 5
  }

  enum Slot {
    static let slot = 0
    static let cap = 4
    static let fixed = 36
  }

  enum TypeIdentity {
    static let fixed = 32
  }

  enum Image {
    static let isa = 0
    static let codeBase = 1
    /// The offsets of code, endpoints, mappings, pinned, initial and yield_marker_slot, one after the other.
    static let offsets = 9
    static let offsetCount = 6
    static let fixed = 33
  }

  enum Endpoint {
    static let nameOffset = 0
    static let entryPC = 4
    static let stackTop = 12
    static let argCNodeSlot = 20
    static let argCNodeSize = 24
    static let initialRegs = 25
    static let fixed = 281
  }

  enum Mapping {
    static let start = 0
    static let size = 8
    static let sourcePathOffset = 16
    static let fixed = 20
  }

  enum Instance {
    static let imageHashChain = 0
    static let imageHash = 32
    static let rootCNode = 64
    static let overlaysOffset = 96
    static let memSize = 100
    static let regs = 104
    static let pc = 360
    static let gasRemaining = 368
    static let fixed = 376
  }

  enum Overlay {
    static let start = 0
    static let bytesOffset = 4
    static let fixed = 8
  }

  static let registerBytes = 256
}

extension RawSpan {
  // The span checks the bounds of each load, and any bits are a value of an integer. SSZ is little-endian.

  @inline(__always)
  func uint8(at position: Int) -> UInt8 {
    unsafe unsafeLoadUnaligned(fromByteOffset: position, as: UInt8.self)
  }

  @inline(__always)
  func uint32(at position: Int) -> UInt32 {
    unsafe UInt32(littleEndian: unsafeLoadUnaligned(fromByteOffset: position, as: UInt32.self))
  }

  @inline(__always)
  func uint64(at position: Int) -> UInt64 {
    unsafe UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: position, as: UInt64.self))
  }

  /// Part `index` of a validated container or list, whose `count` offsets begin `offsets` bytes after its start. It ends
  /// where the next one begins, the last one where the whole ends.
  func part(of whole: WireRange, offsets: Int, index: Int, count: Int) -> WireRange {
    let position = whole.start + offsets + Layout.offsetBytes * index
    let start = whole.start + Int(uint32(at: position))
    let end = index + 1 < count ? whole.start + Int(uint32(at: position + Layout.offsetBytes)) : whole.end
    return WireRange(start: start, end: end)
  }

  /// The number of elements of a validated list whose elements have offsets.
  func elementCount(of list: WireRange) -> Int {
    // The first element begins after the offsets, so its own offset tells how many there are.
    list.count == 0 ? 0 : Int(uint32(at: list.start)) / Layout.offsetBytes
  }

  /// Element `index` of a validated list whose elements have offsets.
  func element(_ index: Int, of list: WireRange) -> WireRange {
    part(of: list, offsets: 0, index: index, count: elementCount(of: list))
  }
}
