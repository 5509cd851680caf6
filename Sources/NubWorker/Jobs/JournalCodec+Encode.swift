extension JournalCodec {
  static func encode(_ jobs: some Collection<Job>) -> [UInt8] {
    var size = 1
    for job in jobs { size += 128 + job.byteCount + job.rawOptions.count }
    var blob: [UInt8] = []
    blob.reserveCapacity(size)
    blob.append(version)
    for job in jobs { append(job, to: &blob) }
    return blob
  }

  private static func append(_ job: Job, to blob: inout [UInt8]) {
    let asker = job.askers.first
    let envelope = asker?.envelope ?? Envelope()
    append(u16: asker?.door ?? 0, to: &blob)
    append(u16: envelope.frameCount + 6 + job.attachedCaps.count, to: &blob)
    _ = envelope.forEachFrame { frame in
      append(frame, to: &blob)
      return true
    }
    append(FrameDecoder.magic.bytes, to: &blob)
    append(job.verb.name.bytes, to: &blob)
    append(job.id, to: &blob)
    append(job.operand, to: &blob)
    append(job.body, to: &blob)
    // A job that came to be asked for again, not to be journaled, has its options in understood form only.
    let options = job.rawOptions.isEmpty && !job.options.isDefault ? job.options.json : job.rawOptions
    options.withUnsafeBytes { append($0, to: &blob) }
    for cap in job.attachedCaps { append(cap.wire, to: &blob) }
  }

  private static func append(_ frame: UnsafeRawBufferPointer, to blob: inout [UInt8]) {
    withUnsafeBytes(of: UInt32(frame.count).littleEndian) { blob.append(contentsOf: $0) }
    blob.append(contentsOf: frame)
  }

  private static func append(u16 value: Int, to blob: inout [UInt8]) {
    withUnsafeBytes(of: UInt16(clamping: value).littleEndian) { blob.append(contentsOf: $0) }
  }
}
