import Tracing

/// Spans around entries of the guest and around host functions, through swift-distributed-tracing.
///
/// An entry with one call is a span of that call; a batch is one span, because a span for each of its calls would cost
/// more than the calls. A host function's span is a child of its entry's.
///
/// The tracer is looked up once, when a template is made: asking costs a quarter of a microsecond, and it is bootstrapped
/// once in a process anyway, before the first template.
struct GuestSpan: Sendable {
  /// Nil where none is bootstrapped, and then nothing is done.
  private let tracer: (any Tracer)?

  init() {
    let tracer = InstrumentationSystem.tracer
    self.tracer = tracer is NoOpTracer ? nil : tracer
  }

  /// - Parameters:
  ///   - function: the id of the first call.
  ///   - body: runs the entry and returns why it failed.
  func entry(sandbox: UInt64, function: UInt32, count: Int, _ body: () -> MachineError?) {
    guard let tracer else {
      _ = body()
      return
    }
    tracer.withSpan(count == 1 ? "nub.guest.call" : "nub.guest.batch", ofKind: .internal) { span in
      span.attributes["nub.sandbox"] = Int64(bitPattern: sandbox)
      span.attributes["nub.calls"] = Int64(count)
      if count == 1 { span.attributes["nub.function"] = Int64(function) }
      guard let error = body() else { return }
      span.setStatus(SpanStatus(code: .error, message: error.message))
      span.recordError(error)
    }
  }

  /// - Parameter body: runs the function and returns its status.
  func hostFunction(_ name: String?, _ body: () -> UInt32) {
    guard let tracer else {
      _ = body()
      return
    }
    tracer.withSpan("nub.host_function", ofKind: .internal) { span in
      span.attributes["nub.host_function"] = name ?? "unknown"
      let status = body()
      guard status != 0 else { return }
      span.setStatus(SpanStatus(code: .error, message: "status \(status)"))
    }
  }
}
