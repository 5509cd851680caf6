import InMemoryTracing
import Synchronization
import Testing
import Tracing

@testable import NubWorker

/// Reads and writes `traceparent`, as a backend of OpenTelemetry does; the spans are kept by the tracer beside it.
private struct TraceContext: Instrument {
  enum Key: ServiceContextKey { typealias Value = String }

  func extract<Carrier, Extract: Extractor>(
    _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
  ) where Extract.Carrier == Carrier {
    let parent = extractor.extract(key: "traceparent", from: carrier)
    context[Key.self] = parent.map { String($0.dropFirst(3).prefix(32)) }
  }

  func inject<Carrier, Inject: Injector>(
    _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
  ) where Inject.Carrier == Carrier {
    guard let trace = context[Key.self] else { return }
    injector.inject("00-\(trace)-00000000000000aa-01", forKey: "traceparent", into: &carrier)
  }
}

@Suite struct JobTraceTests {
  /// Bootstrapped once in a process.
  private static let tracer: InMemoryTracer = {
    let tracer = InMemoryTracer()
    InstrumentationSystem.bootstrap(MultiplexInstrument([TraceContext(), tracer]))
    return tracer
  }()

  @Test(arguments: [
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
    ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
    ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
    ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
    ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
    ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false), ("", false),
    ("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", false),
  ])
  func `only a trace context is one`(_ text: String, _ isGood: Bool) {
    #expect((JobTrace.parse(Array(text.utf8)) != nil) == isGood)
  }

  @Test func `a producer's trace goes on in the worker, in the sandbox, and back with the reply`() throws {
    let tracer = Self.tracer
    let directory = try TestDirectory()
    let worker = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("traced"), .bind))])
    let dealer = try TestSocket(.dealer, connect: worker.endpoints[0])
    let trace = "0af7651916cd43dd8448eb211c80319c"
    let options = bytes(#"{"traceparent":"00-\#(trace)-b7ad6b7169203331-01"}"#)
    let reply = try dealer.ask(job(id: bytes("traced"), operand: u32(echo), body: bytes("x"), [options]))
    #expect(reply.status == .ok)
    #expect(reply.meta.contains(#""traceparent":"00-\#(trace)-00000000000000aa-01""#))
    let span = try #require(
      tracer.finishedSpans.first {
        $0.operationName == "nub.job" && $0.context[TraceContext.Key.self] == trace
      })
    #expect(span.kind == .consumer && span.attributes.get("nub.status") == .string("ok"))
    let call = tracer.finishedSpans.first {
      $0.operationName == "nub.guest.call" && $0.context[TraceContext.Key.self] == trace
    }
    #expect(call != nil, "the call in the sandbox is part of the trace")
    let plain = try dealer.ask(job(id: bytes("plain"), operand: u32(echo), body: bytes("x")))
    let nonsense = try dealer.ask(
      job(id: bytes("nonsense"), operand: u32(echo), body: bytes("x"), [bytes(#"{"traceparent":"\"}"}"#)]))
    for reply in [plain, nonsense] {
      #expect(reply.status == .ok && !reply.meta.contains("traceparent"))
    }
    worker.stop()
  }
}
