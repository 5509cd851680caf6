/// Where things lie in a guest's virtual address space. Everything not named here is unmapped.
///
/// Areas that differ in size between configurations start at fixed places, far enough apart for the largest allowed
/// size and a guard behind each. Where an area lies in guest physical memory is the host's business alone.
public enum MemoryMap {
  public static let pageSize: UInt64 = 4096
  public static let largePageSize: UInt64 = 2 << 20

  /// Supervisor pages: descriptor tables, task-state segment, exception stubs, exception stack.
  public static let supervisorBase: UInt64 = 0x0010_0000
  /// Where an image is linked. Its loadable segments lie within ``imageMaximum`` bytes from here.
  public static let imageBase: UInt64 = 0x0040_0000
  public static let imageMaximum: UInt64 = 64 << 20
  /// Host control page, then the request area and the response area: written by the host, read-only for the guest.
  public static let hostControl: UInt64 = 0x2000_0000
  public static let requestBase: UInt64 = 0x2020_0000
  public static let responseBase: UInt64 = 0x3000_0000
  /// Guest control page, log area and result area: written by the guest, read by the host.
  public static let guestControl: UInt64 = 0x4000_0000
  public static let logBase: UInt64 = 0x4001_0000
  public static let resultBase: UInt64 = 0x4020_0000
  /// The first address behind the stack, which grows down from here to an unmapped page.
  public static let stackTop: UInt64 = 0x6000_0000
  public static let heapBase: UInt64 = 0x8000_0000
  /// Behind every address that a guest can have mapped.
  public static let userEnd: UInt64 = 0x10_0000_0000

  /// Largest size of the request, the response and the result area.
  public static let areaMaximum: UInt64 = 0x0fe0_0000
  public static let stackMaximum: UInt64 = 64 << 20
  public static let heapMaximum: UInt64 = 16 << 30
}

extension UInt64 {
  /// This number rounded up to a multiple of `step`, a power of two. Wraps for numbers near the maximum, so check first.
  public func roundedUp(to step: UInt64) -> UInt64 {
    (self &+ (step &- 1)) & ~(step &- 1)
  }
}
