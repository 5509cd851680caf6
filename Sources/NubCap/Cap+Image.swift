extension Cap {
  /// A program.
  public struct Image: Equatable, Sendable {
    /// The instruction set; 1 is RV64IMAC, and there is no other yet.
    public var isa: UInt8
    /// The address at which `code` is mapped, read-execute.
    public var codeBase: UInt64
    /// At most 2^24 bytes.
    public var code: [UInt8]
    /// Where it can be entered; at most 64, no name twice.
    public var endpoints: [Endpoint]
    /// At most 64, not overlapping.
    public var mappings: [Mapping]
    /// Caps mapped read-only, strictly ascending by slot; at most 2^16.
    public var pinned: [Slot]
    /// Caps copied read-write at start, strictly ascending by slot; at most 2^16.
    public var initial: [Slot]
    public var yieldMarkerSlot: UInt32?

    public init(
      isa: UInt8 = CapLimits.isaRV64IMAC, codeBase: UInt64 = 0, code: [UInt8] = [],
      endpoints: [Endpoint] = [],
      mappings: [Mapping] = [], pinned: [Slot] = [], initial: [Slot] = [], yieldMarkerSlot: UInt32? = nil
    ) {
      self.isa = isa
      self.codeBase = codeBase
      self.code = code
      self.endpoints = endpoints
      self.mappings = mappings
      self.pinned = pinned
      self.initial = initial
      self.yieldMarkerSlot = yieldMarkerSlot
    }
  }

  /// An entry point of an image.
  public struct Endpoint: Equatable, Sendable {
    /// UTF-8, at most 64 bytes. Two names are the same if their bytes are.
    public var name: [UInt8]
    public var entryPC: UInt64
    public var stackTop: UInt64
    public var argCNodeSlot: UInt32
    public var argCNodeSize: UInt8
    /// Register 0 is zero.
    public var initialRegs: Registers

    public init(
      name: [UInt8], entryPC: UInt64 = 0, stackTop: UInt64 = 0, argCNodeSlot: UInt32 = 0,
      argCNodeSize: UInt8 = 0,
      initialRegs: Registers = Registers()
    ) {
      self.name = name
      self.entryPC = entryPC
      self.stackTop = stackTop
      self.argCNodeSlot = argCNodeSlot
      self.argCNodeSize = argCNodeSize
      self.initialRegs = initialRegs
    }
  }

  /// A range of addresses that shows a cap.
  public struct Mapping: Equatable, Sendable {
    public var start: UInt64
    /// In bytes; `start + size` fits 64 bits.
    public var size: UInt64
    /// The slots to follow from the root to the cap; at most 8.
    public var sourcePath: [UInt32]

    public init(start: UInt64, size: UInt64, sourcePath: [UInt32] = []) {
      self.start = start
      self.size = size
      self.sourcePath = sourcePath
    }
  }
}
