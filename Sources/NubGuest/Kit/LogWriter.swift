import CNubABI

/// Appends records to the log area until it is full; then counts what it drops. The host empties it at each doorbell.
struct LogWriter {
  private let host: UnsafePointer<nub_host_control>
  private let area: UnsafeMutablePointer<nub_log_area>
  private let capacity: Int
  private var drained: UInt32

  init?(host: UnsafePointer<nub_host_control>) {
    guard let base = UnsafeMutableRawPointer(bitPattern: UInt(host.pointee.log_base)) else { return nil }
    self.host = host
    area = base.assumingMemoryBound(to: nub_log_area.self)
    capacity = Int(host.pointee.log_size) - MemoryLayout<nub_log_area>.size
    drained = host.pointee.log_drained
  }

  mutating func write(level: UInt32, source: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer) {
    if host.pointee.log_drained != drained {
      drained = host.pointee.log_drained
      area.pointee.length = 0
    }
    let sourceLength = min(source.count, 64)
    let messageLength = prefix(of: message, Int(NUB_LOG_MESSAGE_MAX))
    let header = MemoryLayout<nub_log_record>.size
    let size = (header + sourceLength + messageLength + 7) & ~7
    let used = Int(area.pointee.length)
    guard size <= capacity - used else {
      area.pointee.dropped &+= 1
      return
    }
    let record = UnsafeMutableRawPointer(area + 1) + used
    record.storeBytes(
      of: nub_log_record(
        length: UInt32(size), level: UInt16(truncatingIfNeeded: min(level, 6)),
        source_length: UInt16(sourceLength),
        message_length: UInt32(messageLength), reserved: 0), as: nub_log_record.self)
    if let bytes = source.baseAddress { (record + header).copyMemory(from: bytes, byteCount: sourceLength) }
    if let bytes = message.baseAddress {
      (record + header + sourceLength).copyMemory(from: bytes, byteCount: messageLength)
    }
    area.pointee.length = UInt64(used + size)
  }
}

/// How many bytes of a text fit into `limit` without cutting a character in two.
func prefix(of text: UnsafeRawBufferPointer, _ limit: Int) -> Int {
  guard text.count > limit else { return text.count }
  var length = limit
  // A character's bytes behind its first are 10xxxxxx, at most three (RFC 3629, section 3).
  while length > max(limit - 3, 0), text[length] & 0xc0 == 0x80 { length -= 1 }
  return length
}
