/// Why bytes are not a cap, or a cap has no bytes.
///
/// It is a plain value without text on the guest, where text costs code; the host spells it out as ``description``.
public struct CapError: Error, Sendable {
  /// What is wrong.
  public enum Code: UInt8, Sendable, CaseIterable {
    /// The bytes end before `field` does.
    case truncated
    /// The first byte is no kind: `value`.
    case unknownKind
    /// `value` is not where the bytes of `field` have to begin.
    case badOffset
    /// `value` bytes are left over after `field`, or do not make a whole element of it.
    case trailingBytes
    /// `field` has `value` bytes or elements, and at most `limit` are allowed.
    case overLimit
    /// The instruction set `value` is not known.
    case unsupportedISA
    /// The slot `value` does not fit a CNode of `limit` slots.
    case slotOutOfRange
    /// The slot `value` does not come after the one before it.
    case slotsNotAscending
    /// A slot holds the zero hash.
    case zeroHash
    /// Register 0 is `value`.
    case registerZeroNotZero
    /// An endpoint's name is not UTF-8.
    case nameNotUTF8
    /// Two endpoints have one name.
    case duplicateName
    /// A mapping that starts at `value` runs past the end of the address space.
    case mappingWraps
    /// A mapping that starts at `value` overlaps an earlier one.
    case mappingsOverlap
    /// Page `value` is not loaded, so there are no bytes to send.
    case missingPage
    /// Slot `value` holds a directory's handle, which has no wire form.
    case unresolvedReference
    /// Page `value` does not exist, or has another size than the bytes given for it.
    case badPage
    /// The bytes given for page `value` are not those that its root names.
    case hashMismatch
  }

  public let code: Code
  /// The field of the schema, as caps.md spells it.
  public let field: StaticString
  /// The byte of the wire form at which it was noticed; 0 where there is no wire form.
  public let position: Int
  /// By code.
  public let value: UInt64
  /// By code.
  public let limit: UInt64

  public init(_ code: Code, _ field: StaticString, at position: Int = 0, value: UInt64 = 0, limit: UInt64 = 0)
  {
    self.code = code
    self.field = field
    self.position = position
    self.value = value
    self.limit = limit
  }
}

extension CapError: Equatable {
  /// The field's name takes no part: the position says the same.
  public static func == (a: CapError, b: CapError) -> Bool {
    a.code == b.code && a.position == b.position && a.value == b.value && a.limit == b.limit
  }
}

#if !hasFeature(Embedded)
  extension CapError: CustomStringConvertible {
    /// One sentence: the field, what is wrong with it, and where.
    public var description: String {
      switch code {
      case .truncated: "the cap ends within \(field), at byte \(position)"
      case .unknownKind: "\(value) is not a kind of cap; the first byte has to be 0 to 4"
      case .badOffset: "\(field) begins at offset \(value), which is out of place, at byte \(position)"
      case .trailingBytes: "\(field) has \(value) bytes too many, at byte \(position)"
      case .overLimit: "\(field) has \(value) entries or bytes, the limit is \(limit), at byte \(position)"
      case .unsupportedISA: "instruction set \(value) is not supported; only 1 (RV64IMAC) is"
      case .slotOutOfRange: "\(field): slot \(value) does not fit \(limit) slots, at byte \(position)"
      case .slotsNotAscending: "\(field): slot \(value) is not above the slot before it, at byte \(position)"
      case .zeroHash:
        "\(field): slot \(value) holds the zero hash; leave empty slots out, at byte \(position)"
      case .registerZeroNotZero: "\(field): register 0 is \(value) and has to be 0, at byte \(position)"
      case .nameNotUTF8: "an endpoint's name is not UTF-8, at byte \(position)"
      case .duplicateName: "two endpoints have the same name, the second at byte \(position)"
      case .mappingWraps: "the mapping that starts at \(value) runs past 2^64, at byte \(position)"
      case .mappingsOverlap: "the mapping that starts at \(value) overlaps another, at byte \(position)"
      case .missingPage: "page \(value) is not loaded, so the data has no wire form"
      case .unresolvedReference:
        "slot \(value) holds a directory's reference, which has no wire form and no hash"
      case .badPage: "page \(value) does not exist or has another size"
      case .hashMismatch: "these are not the bytes of page \(value): their root is another"
      }
    }
  }
#endif
