import Tracing

/// Spans around entries of the guest and around host functions, through swift-distributed-tracing.
///
/// An entry with one call is a span of that call; a batch is one span, because a span for each of its calls would cost
/// more than the calls. A host function's span is a child of its entry's.
enum GuestSpan {
  /// The tracer; nil where none is bootstrapped, and then nothing is done.
  private static var tracer: (any Tracer)? {
    let tracer = InstrumentationSystem.tracer
    return tracer is NoOpTracer ? nil : tracer
  }

  /// - Parameters:
  ///   - function: the id of the first call.
  ///   - body: runs the entry and returns why it failed.
  static func entry(sandbox: UInt64, function: UInt32, count: Int, _ body: () -> MachineError?) {
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
  static func hostFunction(_ name: String?, _ body: () -> UInt32) {
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
