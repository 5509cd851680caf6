import Testing

@testable import NubWorker

@Suite("Options as journaled")
struct JournaledOptionsTests {
  @Test(
    "options that were written again say the same",
    arguments: [
      "{}", "{\"tenant\":\"a\\\"\\\\b\\u0007\"}",
      "{\"deadline_ms\":5,\"expires_at_ms\":18446744073709551615,\"tenant\":\"ä\",\"priority\":0,\"fresh\":true}",
      "{\"caps\":[\"\(String(repeating: "ab", count: 32))\"],\"traceparent\":\"00-1-2-01\",\"unknown\":[1]}",
    ])
  func roundTrip(text: String) throws {
    let first = try JobOptions(json: Array(text.utf8).span.bytes)
    let second = try JobOptions(json: first.json.span.bytes)
    #expect(second.deadlineMilliseconds == first.deadlineMilliseconds)
    #expect(second.expiresAtMilliseconds == first.expiresAtMilliseconds)
    #expect(second.tenant == first.tenant)
    #expect(second.priority == first.priority)
    #expect(second.fresh == first.fresh)
    #expect(second.caps == first.caps)
    #expect(second.traceparent == first.traceparent)
  }

  @Test(
    "a plaintext door off loopback, and a fleet that cannot work, are refused by name",
    arguments: [
      WorkerConfiguration.Door.direct(Endpoint("tcp://127.example.org:1", .bind)),
      .fleet(broker: Endpoint("tcp://192.0.2.1:1", .connect), service: "s", slots: 1),
      .fleet(broker: Endpoint("tcp://127.0.0.1:1", .bind), service: "s", slots: 1),
      .fleet(broker: Endpoint("tcp://127.0.0.1:1", .connect), service: "", slots: 1),
      .fleet(broker: Endpoint("tcp://127.0.0.1:1", .connect), service: "mmi.x", slots: 1),
      .fleet(broker: Endpoint("tcp://127.0.0.1:1", .connect), service: "s", slots: 0),
    ])
  func configuration(door: WorkerConfiguration.Door) {
    let configuration = WorkerConfiguration(name: "w", storePath: "x", doors: [door])
    let error = #expect(throws: WorkerError.self) { try configuration.validate() }
    #expect(error?.code == .configuration)
  }
}
