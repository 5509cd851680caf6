public import Logging
import NubABI

/// How large a sandbox is and what it may do. Every value has a default, and absurd ones are refused by name before
/// anything is created.
public struct SandboxConfiguration: Sendable {
  /// What ``heapSize`` may be, bytes: multiples of ``heapGranule``.
  public static let heapSizes: ClosedRange<UInt64> = heapGranule...MemoryMap.heapMaximum
  /// A large page, bytes.
  public static let heapGranule = MemoryMap.largePageSize

  /// Bytes of guest heap, a multiple of 2 MiB. Memory that the guest never touches costs nothing.
  public var heapSize: UInt64 = 64 << 20
  /// Bytes of guest stack, a multiple of 4096.
  public var stackSize: UInt64 = 256 << 10
  /// The largest payload of a single call, bytes.
  public var maximumRequest: UInt64 = (16 << 20) + (64 << 10)
  /// The largest result of a single call, bytes.
  public var maximumResult: UInt64 = (16 << 20) + (64 << 10)
  /// The largest answer of a host function, bytes.
  public var maximumResponse: UInt64 = (16 << 20) + (128 << 10)
  /// Caps that the guest's directory has room for, a power of two.
  public var directoryCapacity: UInt32 = 4096
  /// Bytes of log records that a guest can write between two exits.
  public var logSize: UInt64 = 64 << 10
  /// Guest log records less severe than this are not written at all.
  public var logLevel: Logger.Level = .info
  /// How long start-up may take.
  public var startTimeout: Duration = .seconds(10)

  /// Where a core file is written when a guest faults or aborts; nil for none. See ``Sandbox/crashDumps``.
  public var crashDumps: CrashDumpConfiguration?
  /// Gives each sandbox code of its own that a debugger can put breakpoints into, see ``DebugServer``. Costs memory and
  /// time for each, so it is not for production.
  public var isDebuggable = false

  /// The defaults.
  public init() {}

  /// The areas are large enough for one message of the largest size beside many small ones.
  var requestAreaSize: UInt64 { (maximumRequest + (1 << 20)).roundedUp(to: MemoryMap.largePageSize) }
  var resultAreaSize: UInt64 { (maximumResult + (1 << 20)).roundedUp(to: MemoryMap.largePageSize) }
  var responseAreaSize: UInt64 { (maximumResponse + 4096).roundedUp(to: MemoryMap.largePageSize) }

  func validate() throws(MachineError) {
    func check(_ ok: Bool, _ message: @autoclosure () -> String) throws(MachineError) {
      guard ok else { throw MachineError(.configurationInvalid, message()) }
    }
    try check(
      heapSize % Self.heapGranule == 0 && Self.heapSizes.contains(heapSize),
      "heapSize is \(heapSize); it must be a multiple of 2 MiB between 2 MiB and 16 GiB")
    try check(
      stackSize % MemoryMap.pageSize == 0 && stackSize >= 16 << 10 && stackSize <= MemoryMap.stackMaximum,
      "stackSize is \(stackSize); it must be a multiple of 4096 between 16 KiB and 64 MiB")
    let area = MemoryMap.areaMaximum - (4 << 20)
    try check(
      maximumRequest >= 4096 && maximumRequest <= area,
      "maximumRequest is \(maximumRequest); 4 KiB to 249 MiB")
    try check(
      maximumResult >= 4096 && maximumResult <= area, "maximumResult is \(maximumResult); 4 KiB to 249 MiB")
    try check(
      maximumResponse >= 4096 && maximumResponse <= area,
      "maximumResponse is \(maximumResponse); 4 KiB to 249 MiB")
    try check(
      directoryCapacity >= 16 && directoryCapacity <= 1 << 20
        && directoryCapacity & (directoryCapacity - 1) == 0,
      "directoryCapacity is \(directoryCapacity); it must be a power of two between 16 and 1048576")
    try check(
      UInt64(directoryCapacity) * 64 <= heapSize / 4,
      "directoryCapacity is \(directoryCapacity), too many for a heap of \(heapSize) bytes (64 bytes each, a quarter at most)"
    )
    try check(
      logSize % MemoryMap.pageSize == 0 && logSize >= 4096 && logSize <= 1 << 20,
      "logSize is \(logSize); it must be a multiple of 4096 between 4 KiB and 1 MiB")
    try crashDumps?.validate()
    try check(
      startTimeout > .zero && startTimeout <= .seconds(3600),
      "startTimeout is \(startTimeout); above 0, at most an hour")
  }
}
