/// The limits of the cap schema, version 1. Those of lists are part of the hash: a list's Merkle tree is as deep as its
/// limit wants, however short the list.
public enum CapLimits {
  /// Bytes of a Data cap. On the wire it is 5 less, see ``wireBytes``.
  public static let dataBytes: UInt64 = 1 << 32
  /// Bytes of an image's code.
  public static let codeBytes = 1 << 24
  /// Bytes of one overlay of an instance.
  public static let overlayBytes = 1 << 24
  /// Bytes of an endpoint's name.
  public static let nameBytes = 64
  /// Entries of `slots`, `pinned` and `initial`.
  public static let slots = 1 << 16
  public static let endpoints = 64
  public static let mappings = 64
  /// Steps of a mapping's source path.
  public static let pathSteps = 8
  public static let overlays = 1024
  /// The binary logarithm of a CNode's number of slots.
  public static let sizeLog: UInt8 = 16
  /// The one instruction set so far.
  public static let isaRV64IMAC: UInt8 = 1
  /// Bytes of a page of paged data.
  public static let pageBytes = 4096
  /// Bytes of a whole cap on the wire: the selector, and a container that SSZ's 32-bit offsets can span (its
  /// serialization is below 2^32 bytes).
  public static let wireBytes: UInt64 = 1 << 32
}
