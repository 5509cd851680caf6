/// A cap: an immutable object that is named by the hash of its content.
///
/// This is the owned model, for making caps and taking them apart. Who only has to check, hash or read bytes that came
/// over a wire uses ``CapView``, which copies nothing.
///
/// A value of this type may break the rules of the format (slots out of order, a name twice): they are checked when it is
/// encoded or hashed, and those operations throw ``CapError``.
public enum Cap: Equatable, Sendable {
  /// A program that has been started: its state between two runs.
  case instance(Instance)
  /// A program: code, entry points, what it is started with.
  case image(Image)
  /// Bytes.
  case data(Data)
  /// A table of caps, by slot number.
  case cnode(CNode)
  /// What instances of one history of images have in common.
  case type(TypeIdentity)

  /// Which of the five kinds this is.
  public var kind: CapKind {
    switch self {
    case .instance: .instance
    case .image: .image
    case .data: .data
    case .cnode: .cnode
    case .type: .type
    }
  }
}

/// The kind of a cap. The raw value is the selector of the SSZ union, the first byte of the wire form.
public enum CapKind: UInt8, Sendable, CaseIterable {
  case instance = 0
  case image = 1
  case data = 2
  case cnode = 3
  case type = 4
}

extension Cap {
  /// A type: nothing but the chain of image hashes that its instances have gone through.
  public struct TypeIdentity: Equatable, Sendable {
    /// History, not a reference: no cap is looked up under it.
    public var imageHashChain: CapHash

    public init(imageHashChain: CapHash) {
      self.imageHashChain = imageHashChain
    }
  }

  /// A cap at a slot number, as an image pins it or starts with it.
  public struct Slot: Equatable, Sendable {
    public var slot: UInt32
    public var cap: CapHash

    public init(slot: UInt32, cap: CapHash) {
      self.slot = slot
      self.cap = cap
    }
  }

  /// The 32 general registers of an RV64 hart. Register 0 is always zero; a cap that says otherwise is refused.
  public struct Registers: Equatable, Sendable {
    public var values: InlineArray<32, UInt64>

    public init(_ values: InlineArray<32, UInt64> = InlineArray(repeating: 0)) {
      self.values = values
    }

    public subscript(index: Int) -> UInt64 {
      get { values[index] }
      set { values[index] = newValue }
    }

    public static func == (a: Registers, b: Registers) -> Bool {
      for index in 0..<32 where a.values[index] != b.values[index] { return false }
      return true
    }
  }
}
