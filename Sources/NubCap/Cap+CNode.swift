extension Cap {
  /// A table of `2^sizeLog` slots, of which some hold caps.
  public struct CNode: Equatable, Sendable {
    /// The binary logarithm of the number of slots, at most 16.
    public var sizeLog: UInt8
    /// The slots that hold something, strictly ascending by number.
    public var slots: [Entry]

    public init(sizeLog: UInt8, slots: [Entry]) {
      self.sizeLog = sizeLog
      self.slots = slots
    }

    /// A slot that holds something.
    public struct Entry: Equatable, Sendable {
      public var slot: UInt32
      public var content: Content

      public init(slot: UInt32, content: Content) {
        self.slot = slot
        self.content = content
      }

      /// A slot that names its cap.
      public init(slot: UInt32, cap: CapHash) {
        self.init(slot: slot, content: .hash(cap))
      }
    }

    /// What a slot holds.
    public enum Content: Equatable, Sendable {
      /// The cap of this name.
      case hash(CapHash)
      /// A cap that one directory knows. It has no wire form and no hash.
      case reference(CapReference)
    }
  }
}

/// A handle to a cap in one directory, which gave it out and alone knows what it means.
public struct CapReference: Hashable, Sendable {
  public var rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }
}
