import CNubABI

/// Appends records to the log area until it is full; then counts what it drops. The host empties it at each exit.
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
    let messageLength = min(message.count, Int(NUB_LOG_MESSAGE_MAX))
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
