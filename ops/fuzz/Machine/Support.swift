/// A copy of fuzzed bytes in memory of exactly their size, so that the address sanitizer sees every step beyond it.
func withArea<Result>(
  _ bytes: UnsafeRawBufferPointer, alignment: Int = 64, _ body: (UnsafeMutableRawBufferPointer) -> Result
) -> Result {
  let area = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: alignment)
  defer { area.deallocate() }
  area.copyMemory(from: bytes)
  return body(area)
}

func require(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}

/// Fuzzed bytes, taken from the front. Where there are none left, it is zeros.
struct Bytes {
  private var rest: Slice<UnsafeRawBufferPointer>

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes[...] }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }
  mutating func u16() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
  var remaining: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: rest) }
}
