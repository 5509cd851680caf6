/// Bytes that a commit reads where they lie.
///
/// `@unchecked Sendable`: a batch is filled on one thread and committed on another. Nobody writes the bytes in between; whoever
/// makes a `.memory` promises that the memory stays as it is until ``StoreWriter/commit(_:lost:)`` has returned.
public enum StoreBytes: @unchecked Sendable {
  /// No bytes.
  case empty
  /// Memory of the caller's.
  case memory(UnsafeRawBufferPointer)
  /// An array, kept alive by the batch.
  case array([UInt8])

  public var count: Int {
    switch self {
    case .empty: 0
    case .memory(let bytes): bytes.count
    case .array(let bytes): bytes.count
    }
  }

  /// The bytes, at an address that is good during `body`.
  @inline(__always)
  public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws(StoreError) -> R) throws(StoreError)
    -> R
  {
    switch self {
    case .empty:
      return try body(UnsafeRawBufferPointer(start: nil, count: 0))
    case .memory(let bytes):
      return try body(bytes)
    case .array(let bytes):
      // A span keeps the array alive and in place without the closure of Array.withUnsafeBytes, which rethrows untyped.
      let span = bytes.span
      return try span.withUnsafeBytes { (buffer) throws(StoreError) -> R in try body(buffer) }
    }
  }
}
