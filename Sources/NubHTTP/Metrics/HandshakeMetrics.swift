internal import NubSecurity

/// What worker and broker say about who wants to come in. Without CURVE it is there, and zero.
enum HandshakeMetrics {
  static func write(_ counts: HandshakeTally.Counts, to writer: inout ExpositionWriter) {
    for (result, count) in [
      ("admitted", counts.admitted), ("refused", counts.refused), ("limited", counts.limited),
    ] { writer.counter("nub_handshakes_total", count, [("result", result)]) }
  }
}
