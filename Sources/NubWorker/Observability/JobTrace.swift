internal import Tracing

/// A job's place in the trace of whoever sent it (W3C Trace Context): a span from its arrival to its reply, whose context goes with it
/// into its sandbox and back out with the reply. Only jobs with a `traceparent` have one.
struct JobTrace: Sendable {
  private let span: any Span
  /// What the reply says: the span's own context, or the producer's where nobody traces here.
  let traceparent: String

  private static let key = "traceparent"
  /// Bytes of version 00: `00-`, 16 bytes of trace id and 8 of parent id in hex, two digits of flags.
  private static let length = 55

  /// - Returns: nil for what is no trace context, which is to be ignored (Trace Context, section 3.3).
  init?(_ received: ShortBytes?, verb: Verb) {
    guard let received, let text = Self.parse(received.array) else { return nil }
    let instrument = InstrumentationSystem.instrument
    var context = ServiceContext.topLevel
    instrument.extract([Self.key: text], into: &context, using: Carrier())
    span = InstrumentationSystem.tracer.startSpan("nub.job", context: context, ofKind: .consumer)
    span.attributes["nub.verb"] = "\(verb.name)"
    var carrier: [String: String] = [:]
    instrument.inject(span.context, into: &carrier, using: Carrier())
    traceparent = carrier[Self.key] ?? text
  }

  /// The reply leaves.
  func end(_ status: Status, _ meta: ReplyMeta) {
    span.attributes["nub.status"] = status.name
    span.attributes["nub.attempt"] = Int64(meta.attempt)
    span.attributes["nub.queued_us"] = Int64(clamping: meta.queuedMicroseconds)
    span.attributes["nub.run_us"] = Int64(clamping: meta.runMicroseconds)
    if status != .ok { span.setStatus(SpanStatus(code: .error, message: status.name)) }
    span.end()
  }

  /// There will be no reply from this worker.
  func abandon() {
    span.setStatus(SpanStatus(code: .error, message: "left in the journal"))
    span.end()
  }

  /// Runs `body`, whose spans are this job's if it is one job's.
  static func within(_ jobs: [Job], _ body: () -> Void) {
    guard jobs.count == 1, let trace = jobs.first?.trace else { return body() }
    ServiceContext.withValue(trace.span.context, operation: body)
  }

  /// Lower-case hex in its places, and neither id zero.
  static func parse(_ bytes: [UInt8]) -> String? {
    guard bytes.count == length, bytes.starts(with: "00-".utf8), bytes[35] == 45, bytes[52] == 45 else {
      return nil
    }
    func isHex(_ part: ArraySlice<UInt8>) -> Bool {
      part.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }
    let (trace, parent) = (bytes[3..<35], bytes[36..<52])
    guard isHex(trace), isHex(parent), isHex(bytes[53...]), trace.contains(where: { $0 != 48 }),
      parent.contains(where: { $0 != 48 })
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  private struct Carrier: Extractor, Injector {
    func extract(key: String, from carrier: [String: String]) -> String? { carrier[key] }
    func inject(_ value: String, forKey key: String, into carrier: inout [String: String]) {
      carrier[key] = value
    }
  }
}
