/// Ids of the functions that every image has. 0 to 255 are nub's, 256 and up are the guest author's.
public enum FunctionID {
  /// Payload back as it came.
  public static let echo: UInt32 = 1
  /// Empty → six `u64`: heap bytes, bytes used, peak bytes used, allocations alive, caps in the directory, their bytes.
  public static let heapStats: UInt32 = 2
  /// Reserved for programs carried in caps.
  public static let invoke: UInt32 = 3
  /// A cap's wire form → its hash, or 32 bytes of 0xFF when it is not a valid cap.
  public static let putCap: UInt32 = 4
  /// Empty → `nub_boot_info`.
  public static let getBootInfo: UInt32 = 5
  /// n × 32-byte hashes, or empty for all → `u64`: how many caps left the directory.
  public static let evict: UInt32 = 6

  /// Empty → `u64`: calls of this function so far in this sandbox.
  public static let counter: UInt32 = 16
  /// `u64` microseconds, 0 = forever → empty.
  public static let spin: UInt32 = 17
  /// `u8`, see ``FaultKind``.
  public static let fault: UInt32 = 18
  /// `u32` status, then a message → that guest error.
  public static let fail: UInt32 = 19
  /// `u64` bytes: allocates, touches and frees them → `u64` bytes.
  public static let alloc: UInt32 = 20

  /// Bytes → SHA-256 of them.
  public static let sha256: UInt32 = 256
  /// Hash of a Data cap → SHA-256 of its bytes.
  public static let capSHA256: UInt32 = 257
  /// Hash of a Data cap → three `u64`: lines, words, bytes, as `wc` counts them in the C locale.
  public static let capWordCount: UInt32 = 258
}

/// What diagnostic function 18 does.
public enum FaultKind: UInt8, CaseIterable, Sendable {
  case invalidOpcode = 0
  case nullRead = 1
  case nullWrite = 2
  case writeToCode = 3
  case executeData = 4
  case stackOverflow = 5
  case divideByZero = 6
  case privilegedInstruction = 7
  case deniedPort = 8
  case abort = 9
}

/// Functions of the host that a guest may call.
public enum HostFunctionID {
  /// n × 32-byte hashes → caps, each a `u32` length and then the wire form. More caps than were asked for may come,
  /// such as those that the asked-for ones refer to. Status 1: some are missing, the answer is their hashes.
  public static let capFetch: UInt32 = 1
}
