import CNubABI
import Logging
import NubABI
import Synchronization
import Testing

@testable import NubMachine

/// What guests write for people: log records and the message of an abort.
@Suite(.needsKVM) struct GuestTextTests {
  private final class Records: Sendable {
    let list = Mutex<[(level: Logger.Level, text: String, metadata: Logger.Metadata)]>([])
    var texts: [String] { list.withLock { $0.map(\.text) } }
  }

  private struct Recorder: LogHandler {
    let records: Records
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.trace

    init(records: Records) { self.records = records }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      records.list.withLock { $0.append((event.level, "\(event.message)", event.metadata ?? [:])) }
    }
  }

  private func sandbox(_ records: Records, _ level: Logger.Level = .trace) throws -> Sandbox {
    var configuration = SandboxConfiguration()
    configuration.logLevel = level
    let logger = Logger(label: "test") { _ in Recorder(records: records) }
    return try SandboxTemplate(
      kvm: try HostileGuest.image.get(), configuration: configuration, logger: logger
    ).makeSandbox()
  }

  private func say(_ level: UInt64, _ times: UInt64, _ text: String) -> [UInt8] {
    HostileGuest.words(level, times) + Array(text.utf8)
  }

  @Test func aRecordHasItsLevelItsSourceAndItsSandbox() throws {
    let records = Records()
    var sandbox = try sandbox(records)
    for level in 0...7 as ClosedRange<UInt64> {
      _ = try sandbox.call(HostileGuest.say, say(level, 1, "hello"))
    }
    let seen = records.list.withLock { $0 }
    #expect(seen.map(\.level) == [.trace, .debug, .info, .notice, .warning, .error, .critical, .critical])
    #expect(seen.allSatisfy { $0.text == "hello" })
    #expect(seen[0].metadata["guest_source"] == "say")
    #expect(seen[0].metadata["sandbox"] == "\(sandbox.id)")
  }

  @Test func whatTheHostDoesNotWantIsNotWritten() throws {
    let records = Records()
    var sandbox = try sandbox(records, .warning)
    for level in 0...6 as ClosedRange<UInt64> { _ = try sandbox.call(HostileGuest.say, say(level, 1, "x")) }
    #expect(records.list.withLock { $0.map(\.level) } == [.warning, .error, .critical])
  }

  @Test func aFloodIsCutAndSaid() throws {
    let records = Records()
    var sandbox = try sandbox(records)
    let began = monotonicNanoseconds()
    // More than the area has room for, from a call that does not ring; and more calls than the rate allows.
    for _ in 0..<20 { _ = try sandbox.call(HostileGuest.say, say(6, 5_000, "flood")) }
    let seconds = Double(monotonicNanoseconds() - began) / 1e9
    let forwarded = records.texts.count { $0 == "flood" }
    // The burst, and what a sandbox earns in the time that this took.
    #expect(Double(forwarded) <= GuestLog.burst + (seconds + 0.1) * GuestLog.perSecond)
    #expect(forwarded >= Int(GuestLog.burst) - 2)
    // That some are missing is said at once, and then once a second; no count is forgotten.
    let reports = records.list.withLock { $0.filter { $0.text == "guest log records were dropped" } }
    #expect(reports.count >= 1 && Double(reports.count) <= seconds + 1)
    #expect(reports[0].metadata["by_guest"] != "0")
    #expect(reports[0].metadata["by_rate_limit"] != "0")
  }

  @Test func recordsBetweenHostCallsAreNotLostForWantOfRoom() throws {
    let records = Records()
    var sandbox = try sandbox(records)
    let text = String(repeating: "x", count: 1000)
    // Fifty records of a kilobyte each are most of the area; a hundred need it to be emptied in between.
    _ = Support.batch(
      &sandbox,
      (0..<2).flatMap { _ in
        [
          (HostileGuest.say, say(6, 50, text), nil as Duration?),
          (HostileGuest.hostCall, HostileGuest.words(999, 0, 0), nil),
        ]
      })
    #expect(records.texts.count { $0 == text } == 100)
  }

  @Test func textForgesNothingWhereItIsShown() throws {
    let records = Records()
    var sandbox = try sandbox(records)
    let text = "a\nERROR forged\r\u{1b}[2J\u{202e}b\u{2066}c\u{200f}d\u{85}e\u{7f}"
    _ = try sandbox.call(HostileGuest.say, say(2, 1, text))
    #expect(records.texts == ["a ERROR forged  [2J b c d e "])
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(HostileGuest.giveUp, HostileGuest.words(1) + Array(text.utf8))
    }
    #expect(error?.message == "the guest aborted with code 1: a ERROR forged  [2J b c d e ")
  }

  @Test(arguments: [0, 1, 1023, 1024, 1025, 5000])
  func aMessageIsCutAtACharactersEnd(length: Int) throws {
    let records = Records()
    var sandbox = try sandbox(records)
    // Three bytes each, so that 1024 lies within one.
    let text = String(repeating: "\u{20ac}", count: length / 3) + String(repeating: "x", count: length % 3)
    let expected =
      length <= 1024 ? text : String(repeating: "\u{20ac}", count: 341) + (length == 1025 ? "x" : "")
    _ = try sandbox.call(HostileGuest.say, say(2, 1, text))
    #expect(records.texts == [expected])
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(HostileGuest.giveUp, HostileGuest.words(77) + Array(text.utf8))
    }
    #expect(error?.code == .abort(code: 77))
    #expect(error?.message == "the guest aborted with code 77: \(expected)")
  }

  @Test func nothingOfAnAbortIsLeftForTheNext() throws {
    let records = Records()
    var sandbox = try sandbox(records)
    _ = try? sandbox.call(HostileGuest.giveUp, HostileGuest.words(1) + Array("a secret".utf8))
    try sandbox.restore()
    // Claims a message that it has not written.
    let length = MemoryMap.guestControl + 60
    #expect(MemoryLayout<nub_guest_control>.offset(of: \.abort_length) == 60)
    let error = #expect(throws: MachineError.self) {
      try sandbox.call(
        HostileGuest.poke,
        HostileGuest.words(
          1, length, 4, 8, MemoryMap.guestControl + 12, 4, UInt64(NUB_DOORBELL_ABORT)))
    }
    #expect(error?.message.contains("secret") == false)
    #expect(error?.code == .abort(code: 0))
  }

  @Test func bytesThatAreNoTextAreShownAsSuch() {
    for bytes in [[0xff, 0xfe], [0xe2, 0x82], [0x41, 0xf0, 0x9f]] as [[UInt8]] {
      let text = bytes.withUnsafeBytes { GuestText.plain($0) }
      #expect(text.unicodeScalars.contains("\u{fffd}"))
    }
    #expect(([] as [UInt8]).withUnsafeBytes { GuestText.plain($0) } == "")
  }
}
