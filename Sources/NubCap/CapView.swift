/// A cap that lies in memory in its wire form, checked, without a copy of it.
///
/// Making one looks at each structural byte once, and at payload bytes not at all: whatever a peer sends costs time in
/// proportion to its size at most, and no memory. Everything else here relies on that check, so the bytes must not change
/// while the view lives: bytes that somebody else can write to (a guest's memory) are copied first.
///
/// ```swift
/// let view = try CapView(validating: message.bytes)
/// let name = view.hashTreeRoot()
/// view.forEachReference { needed.insert($0) }
/// ```
public struct CapView: ~Escapable, Sendable {
  /// The whole wire form.
  public let wire: RawSpan
  public let kind: CapKind

  /// The value after the selector.
  var body: WireRange { WireRange(start: 1, end: wire.byteCount) }

  /// Checks that `wire` is one cap, exactly: SSZ offsets exact and monotonic, no gaps, no trailing bytes, every limit and
  /// every rule of caps.md kept.
  @_lifetime(copy wire)
  public init(validating wire: RawSpan) throws(CapError) {
    guard wire.byteCount > 0 else { throw CapError(.truncated, "Cap") }
    guard UInt64(wire.byteCount) <= CapLimits.wireBytes else {
      throw CapError(.overLimit, "Cap", value: UInt64(wire.byteCount), limit: CapLimits.wireBytes)
    }
    let selector = wire.uint8(at: 0)
    guard let kind = CapKind(rawValue: selector) else {
      throw CapError(.unknownKind, "Cap", value: UInt64(selector))
    }
    self.wire = wire
    self.kind = kind
    let body = WireRange(start: 1, end: wire.byteCount)
    let validator = WireValidator(wire: wire)
    switch kind {
    case .instance: try validator.instance(body)
    case .image: try validator.image(body)
    case .data: try validator.data(body)
    case .cnode: try validator.cnode(body)
    case .type: try validator.type(body)
    }
  }
}

extension CapView {
  /// The wire form of a Data cap is these five bytes (the selector, and the offset of the one field) and then its bytes.
  public static var dataPrefix: InlineArray<5, UInt8> { [CapKind.data.rawValue, 4, 0, 0, 0] }

  /// Where in the wire form the bytes of a Data cap lie; nil for the other kinds.
  public var dataRange: Range<Int>? {
    kind == .data ? body.start + Layout.Data.fixed..<body.end : nil
  }

  /// The bytes of a Data cap; nil for the other kinds.
  public var dataBytes: RawSpan? {
    @_lifetime(copy self)
    get {
      guard kind == .data else { return nil }
      return wire.extracting(body.start + Layout.Data.fixed..<body.end)
    }
  }

  /// The CNode, if it is one.
  public var cnode: CNodeView? {
    @_lifetime(copy self)
    get {
      guard kind == .cnode else { return nil }
      return CNodeView(wire: wire, range: body)
    }
  }

  /// The image, if it is one.
  public var image: ImageView? {
    @_lifetime(copy self)
    get {
      guard kind == .image else { return nil }
      return ImageView(wire: wire, range: body)
    }
  }

  /// The instance, if it is one.
  public var instance: InstanceView? {
    @_lifetime(copy self)
    get {
      guard kind == .instance else { return nil }
      return InstanceView(wire: wire, range: body)
    }
  }

  /// The history of a Type or an Instance; nil for the other kinds.
  public var imageHashChain: CapHash? {
    switch kind {
    case .type: CapHash(wire, at: body.start)
    case .instance: CapHash(wire, at: body.start + Layout.Instance.imageHashChain)
    case .image, .data, .cnode: nil
    }
  }
}
