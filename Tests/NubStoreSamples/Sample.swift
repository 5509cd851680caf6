public import NubCap
public import NubStore

/// Jobs and caps whose content follows from their name, so that another process can tell whether they are whole.
public enum Sample {
  /// 2030-01-01, in Unix milliseconds: no test depends on today.
  public static let now: Int64 = 1_893_456_000_000

  /// Bytes that a name determines.
  public static func bytes(_ name: String, count: Int) -> [UInt8] {
    var state = name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  public static func digest(_ name: String) -> ContentDigest {
    // 16 bytes are what a digest takes.
    bytes(name, count: 16).withUnsafeBytes { ContentDigest($0)! }
  }

  /// A successful job with the id `name` and a result of 100 bytes.
  public static func job(_ name: String, tenant: TenantID = .default, status: UInt32 = 0) -> FinishedJob {
    FinishedJob(
      tenant: tenant, jobID: .array(Array(name.utf8)), operand: .array([1, 0, 0, 0]), digest: digest(name),
      status: status,
      body: status == 0 ? .array(bytes(name, count: 100)) : .empty,
      message: status == 0 ? .empty : .array(Array("failed: \(name)".utf8)), sandbox: 7,
      queuedMicroseconds: 11,
      runMicroseconds: 13, acceptedMilliseconds: now - 5, finishedMilliseconds: now)
  }

  /// A Data cap in wire form: selector 2, the offset 4 of the only field, the bytes.
  public static func wire(_ name: String, count: Int = 500) -> [UInt8] {
    [2, 4, 0, 0, 0] + bytes(name, count: count)
  }

  public static func hash(ofWire wire: [UInt8]) -> CapHash {
    guard let view = try? CapView(validating: wire.span.bytes) else { return .refused }
    return view.hashTreeRoot()
  }

  public static func cap(_ name: String, tenant: TenantID = .default, count: Int = 500) -> NewCap {
    let wire = wire(name, count: count)
    return NewCap(hash: hash(ofWire: wire), kind: 2, wire: .array(wire), tenant: tenant)
  }
}
