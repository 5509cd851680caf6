internal import NubJSON

/// Frame 5 of a reply, before it is written.
struct ReplyMeta: Sendable {
  /// nil: this worker.
  var worker: String?
  /// nil: this worker's engine.
  var engine: String?
  var sandbox: UInt64 = 0
  var attempt: UInt32 = 0
  var isDuplicate = false
  var queuedMicroseconds: UInt64 = 0
  var runMicroseconds: UInt64 = 0
  var guestStatus: UInt32?
  var retryAfterMilliseconds: UInt32?
  var missingReferences: UInt32?
  /// W3C trace context, for jobs that came with one.
  var traceparent: String?
}

/// Writes reply metadata as JSON into one buffer that is used again for each reply: no allocation per reply.
struct MetaWriter: ~Copyable {
  private var buffer: [UInt8] = []
  /// `{"worker":"…","engine":"…"`, the same in nearly every reply.
  private let ownPrefix: [UInt8]

  init(worker: String, engine: String) {
    ownPrefix = Self.prefix(worker: worker, engine: engine)
    buffer.reserveCapacity(512)
  }

  /// - Returns: what `body` returns; the bytes are good during the call only.
  mutating func write<R, E>(
    _ meta: ReplyMeta, _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    buffer.removeAll(keepingCapacity: true)
    if let worker = meta.worker, let engine = meta.engine {
      buffer.append(contentsOf: Self.prefix(worker: worker, engine: engine))
    } else {
      buffer.append(contentsOf: ownPrefix)
    }
    field(",\"sandbox\":", meta.sandbox)
    field(",\"attempt\":", UInt64(meta.attempt))
    if meta.isDuplicate { literal(",\"duplicate\":true") }
    field(",\"queued_us\":", meta.queuedMicroseconds)
    field(",\"run_us\":", meta.runMicroseconds)
    if let status = meta.guestStatus { field(",\"guest_status\":", UInt64(status)) }
    if let time = meta.retryAfterMilliseconds { field(",\"retry_after_ms\":", UInt64(time)) }
    if let count = meta.missingReferences { field(",\"missing_refs\":", UInt64(count)) }
    if let traceparent = meta.traceparent {
      literal(",\"traceparent\":")
      buffer.append(contentsOf: JSONString.quoted(traceparent).utf8)
    }
    buffer.append(UInt8(ascii: "}"))
    return try buffer.withUnsafeBufferPointer { (bytes) throws(E) in try body(UnsafeRawBufferPointer(bytes)) }
  }

  private mutating func literal(_ text: StaticString) {
    buffer.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  private mutating func field(_ name: StaticString, _ value: UInt64) {
    literal(name)
    if value < 10 { return buffer.append(UInt8(ascii: "0") + UInt8(value)) }
    let start = buffer.count
    var rest = value
    while rest > 0 {
      buffer.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    }
    buffer[start...].reverse()
  }

  private static func prefix(worker: String, engine: String) -> [UInt8] {
    Array("{\"worker\":\(JSONString.quoted(worker)),\"engine\":\(JSONString.quoted(engine))".utf8)
  }
}
