extension Cap {
  /// A program that has been started, between two runs.
  public struct Instance: Equatable, Sendable {
    /// History, not a reference.
    public var imageHashChain: CapHash
    /// The image; zero: none.
    public var imageHash: CapHash
    /// The CNode of the caps that it holds; zero: none.
    public var rootCNode: CapHash
    /// Memory that differs from the image's; at most 1024.
    public var rwOverlays: [Overlay]
    public var memSize: UInt32
    /// Register 0 is zero.
    public var regs: Registers
    public var pc: UInt64
    public var gasRemaining: UInt64

    public init(
      imageHashChain: CapHash, imageHash: CapHash, rootCNode: CapHash, rwOverlays: [Overlay] = [],
      memSize: UInt32 = 0, regs: Registers = Registers(), pc: UInt64 = 0, gasRemaining: UInt64 = 0
    ) {
      self.imageHashChain = imageHashChain
      self.imageHash = imageHash
      self.rootCNode = rootCNode
      self.rwOverlays = rwOverlays
      self.memSize = memSize
      self.regs = regs
      self.pc = pc
      self.gasRemaining = gasRemaining
    }
  }

  /// Bytes of an instance's memory.
  public struct Overlay: Equatable, Sendable {
    public var start: UInt32
    /// At most 2^24.
    public var bytes: [UInt8]

    public init(start: UInt32, bytes: [UInt8]) {
      self.start = start
      self.bytes = bytes
    }
  }
}
