import Foundation
import NubCap
import Testing

@testable import NubClient

@Suite("Frames, ids and options")
struct FramesTests {
  @Test("Ids are UUIDs of version 7 that ascend with time")
  func ids() {
    let ids = (0..<1000).map { _ in JobID() }
    #expect(Set(ids).count == 1000)
    for id in ids {
      #expect(id.bytes.count == 16)
      #expect(id.bytes[6] >> 4 == 7)
      #expect(id.bytes[8] >> 6 == 2)
    }
    // The clock behind the first 60 bits has steps of a quarter of a microsecond.
    for (earlier, later) in zip(ids, ids.dropFirst()) {
      #expect(!later.bytes.prefix(8).lexicographicallyPrecedes(earlier.bytes.prefix(8)))
    }
  }

  @Test("An id has 1 to 64 bytes", arguments: [(0, false), (1, true), (64, true), (65, false)])
  func idLength(count: Int, isValid: Bool) {
    #expect((JobID([UInt8](repeating: 1, count: count)) != nil) == isValid)
  }

  @Test("Options without content are an empty frame")
  func noOptions() {
    #expect(CallOptions().json(defaultTenant: nil).isEmpty)
  }

  @Test(
    "Options are JSON that any parser reads", arguments: ["plain", "\"quoted\\\"", "\u{0}\n\u{1F}", "ä😀/"])
  func options(tenant: String) throws {
    let options = CallOptions(
      deadline: .milliseconds(1500), expiresAtMilliseconds: .max, tenant: tenant, priority: 9, fresh: true,
      needs: [.zero], traceparent: "00-ab")
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(options.json(defaultTenant: "other"))) as? [String: Any])
    #expect(json["tenant"] as? String == tenant)
    #expect(json["deadline_ms"] as? Int == 1500)
    #expect(json["expires_at_ms"] as? UInt64 == .max)
    #expect(json["priority"] as? Int == 9)
    #expect(json["fresh"] as? Bool == true)
    #expect(json["caps"] as? [String] == [String(repeating: "0", count: 64)])
    #expect(json["traceparent"] as? String == "00-ab")
  }

  @Test(
    "Deadlines are whole milliseconds, at least one, whatever the duration",
    arguments: [(Duration.zero, 1), (.nanoseconds(1), 1), (.seconds(-5), 1), (.seconds(2), 2000)])
  func deadline(duration: Duration, milliseconds: Int) {
    let json = CallOptions(deadline: duration).json(defaultTenant: nil)
    #expect(String(decoding: json, as: UTF8.self) == "{\"deadline_ms\":\(milliseconds)}")
  }

  @Test("The longest duration does not overflow")
  func longest() {
    #expect(!CallOptions(deadline: .seconds(Int64.max)).json(defaultTenant: nil).isEmpty)
  }

  @Test("What is not a reply is none")
  func noReply() {
    let magic = Frames.magic
    let reply = Frames.reply
    let bad: [[[UInt8]]] = [
      [], [[]], [magic], [magic, reply, [1], [0, 0, 0, 0]], [magic, reply, [], [0, 0, 0, 0], []],
      [magic, reply, [1], [0, 0, 0], []], [magic, [], [1], [0, 0, 0, 0], []],
      [magic, reply, [UInt8](repeating: 1, count: 65), [0, 0, 0, 0], []],
    ]
    for frames in bad { #expect(Reply(frames: frames) == nil) }
    #expect(Reply(frames: [[], magic, reply, [1], [16, 0, 0, 0], [2]])?.status == .notFound)
  }

  @Test("Meta with fields of the wrong type loses those fields only")
  func meta() {
    let meta = ReplyMeta(
      json: Array(#"{"worker":7,"engine":"kvm","attempt":"x","duplicate":true,"run_us":-1}"#.utf8))
    #expect(meta.worker == nil)
    #expect(meta.engine == "kvm")
    #expect(meta.duplicate == true)
    #expect(meta.runMicroseconds == nil)
    #expect(ReplyMeta(json: [0xFF]) == ReplyMeta())
  }
}
