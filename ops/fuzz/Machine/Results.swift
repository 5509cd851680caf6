import CNubABI

/// What the host reads of the result area. Results lie inside the area, one behind the other, each no larger than allowed, in order,
/// and no more of them than there were calls, however often the guest drains.
public func fuzzResults(_ input: UnsafeRawBufferPointer) {
  var bytes = Bytes(input)
  let calls = Int(bytes.byte())
  let maximum = UInt64(bytes.u16())
  // How far the guest has got at each look; odd ones drain first.
  let looks = (0..<Int(bytes.byte() & 7)).map { _ in bytes.u16() }
  withArea(bytes.remaining, alignment: 16) { area in
    var reader = ResultReader(calls: calls, maximumLength: maximum)
    var end = 0
    var read = 0
    do throws(MachineError) {
      for look in looks {
        if look & 1 != 0, read > 0 {
          try reader.drain()
          end = 0
        }
        while let entry = try reader.next(in: area, published: UInt32(look >> 1)) {
          require(entry.bytes.lowerBound >= end + 32, "results overlap")
          require(entry.bytes.upperBound <= area.count, "a result reaches outside its area")
          require(UInt64(entry.bytes.count) <= maximum, "a result is too large")
          require(Int(entry.header.index) == read, "results are out of order")
          end = entry.bytes.upperBound
          read += 1
          require(reader.count == read && read <= calls, "more results than calls")
        }
      }
    } catch {
      require(error.code == .protocolViolation && error.poisons, "a lie that does not poison")
    }
  }
}
