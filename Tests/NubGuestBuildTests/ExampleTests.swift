import Logging
import NubABI
import NubCap
import NubMachine
import Synchronization
import Testing

@Suite struct ExampleTests {
  private static let text = Array("The cat, the dog and THE bird's cat; 42 naïve birds".utf8)
  private static let counts =
    #"{"total":11,"distinct":8,"words":[{"word":"the","count":3},{"word":"cat","count":2},"#
    + #"{"word":"42","count":1},{"word":"and","count":1},{"word":"bird's","count":1},{"word":"birds","count":1},"#
    + #"{"word":"dog","count":1},{"word":"naïve","count":1}]}"#

  private func sandbox(
    _ image: Result<GuestImage, any Error>, _ functions: HostFunctions = HostFunctions()
  ) throws -> Sandbox {
    try SandboxTemplate(kvm: try image.get(), hostFunctions: functions).makeSandbox()
  }

  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  /// A store of one Data cap, as host function 1.
  private func store(_ bytes: [UInt8]) throws -> (functions: HostFunctions, hash: CapHash) {
    let wire = [2, 4, 0, 0, 0] + bytes
    let hash = try CapView(validating: wire.span.bytes).hashTreeRoot()
    var functions = HostFunctions()
    functions.register(HostFunctionID.capFetch, name: "cap_fetch") { call in
      guard call.argument == hash.bytes else { throw HostError(status: 1, answer: call.argument) }
      return withUnsafeBytes(of: UInt32(wire.count).littleEndian) { [UInt8]($0) } + wire
    }
    return (functions, hash)
  }

  @Test func theSwiftExampleCountsWords() throws {
    var sandbox = try sandbox(Built.wordFrequency)
    #expect(text(try sandbox.call(300, Self.text)) == Self.counts)
    #expect(text(try sandbox.call(300)) == #"{"total":0,"distinct":0,"words":[]}"#)
  }

  @Test func theSwiftExampleReadsACapThroughTheHost() throws {
    let (functions, hash) = try store(Self.text)
    var sandbox = try sandbox(Built.wordFrequency, functions)
    #expect(text(try sandbox.call(301, hash.bytes)) == Self.counts)
    let has = try sandbox.directoryContains(hash)
    #expect(has)
  }

  @Test func theSwiftExampleCallsAHostFunctionOfItsOwn() throws {
    var functions = HostFunctions()
    functions.register(1000, name: "stop_words") { call in
      #expect(call.argument == Array("en".utf8))
      return Array("the and a an of".utf8)
    }
    var sandbox = try sandbox(Built.wordFrequency, functions)
    let answer = text(try sandbox.call(302, Array("The end of the day and a night".utf8)))
    #expect(answer.hasPrefix(#"{"total":3,"distinct":3,"words":[{"word":"day","count":1}"#))
  }

  @Test func whatAHostFunctionSaysOfAFailureReachesTheProducer() throws {
    var functions = HostFunctions()
    functions.register(1000, name: "stop_words") { _ in throw HostError(status: 5, "no list for en") }
    var sandbox = try sandbox(Built.wordFrequency, functions)
    let error = #expect(throws: MachineError.self) { try sandbox.call(302, [65]) }
    #expect(error?.code == .guestError(status: GuestStatus.host))
    #expect(error?.message == "no list for en")
  }

  @Test func anErrorOfTheSwiftExampleSaysWhere() throws {
    var sandbox = try sandbox(Built.wordFrequency)
    let long = Array("a ".utf8) + [UInt8](repeating: 98, count: 2000)
    let error = #expect(throws: MachineError.self) { try sandbox.call(300, long) }
    #expect(error?.code == .guestError(status: 1))
    #expect(error?.message == "the word at byte 2 has 2000 bytes; at most 1024 are taken")
  }

  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
    ("foobar", "Zm9vYmFy"),
  ])
  func theCExampleHasTheVectorsOfRFC4648(plain: String, encoded: String) throws {
    var sandbox = try sandbox(Built.base64)
    #expect(text(try sandbox.call(310, Array(plain.utf8))) == encoded)
    #expect(text(try sandbox.call(311, Array(encoded.utf8))) == plain)
  }

  @Test(arguments: ["Zg=", "Zg", "Z===", "Zh==", "Z*==", "===="])
  func theCExampleRefusesWhatIsNotBase64(text: String) throws {
    var sandbox = try sandbox(Built.base64)
    let error = #expect(throws: MachineError.self) { try sandbox.call(311, Array(text.utf8)) }
    #expect(error?.code == .guestError(status: 1))
  }

  @Test func theCExampleReadsACapThroughTheHost() throws {
    let (functions, hash) = try store(Array("foobar".utf8))
    var sandbox = try sandbox(Built.base64, functions)
    #expect(text(try sandbox.call(312, hash.bytes)) == "Zm9vYmFy")
    let missing = [UInt8](repeating: 9, count: 32)
    #expect(throws: MachineError.self) { try sandbox.call(312, missing) }
    #expect(text(try sandbox.call(312, hash.bytes)) == "Zm9vYmFy")
  }

  @Test func theCExampleCallsAHostFunctionOfItsOwn() throws {
    var functions = HostFunctions()
    functions.register(1001, name: "transform") { call in
      guard !call.argument.isEmpty else { throw HostError(status: 7, "nothing to transform") }
      return call.argument.reversed()
    }
    var sandbox = try sandbox(Built.base64, functions)
    #expect(text(try sandbox.call(313, Array("raboof".utf8))) == "Zm9vYmFy")
    let error = #expect(throws: MachineError.self) { try sandbox.call(313) }
    #expect(error?.code == .guestError(status: 2))
    #expect(error?.message == "nothing to transform")
  }

  @Test func aLogRecordNamesTheFunctionThatWroteIt() throws {
    let records = Records()
    let logger = Logger(label: "test") { _ in RecordingHandler(records: records) }
    var sandbox = try SandboxTemplate(kvm: try Built.base64.get(), logger: logger).makeSandbox()
    #expect(throws: MachineError.self) { try sandbox.call(311, [65]) }
    #expect(records.lines.withLock { $0 } == ["warning base64_decode: the length is not a multiple of four"])
  }
}

final class Records: Sendable {
  let lines = Mutex<[String]>([])
}

struct RecordingHandler: LogHandler {
  let records: Records
  var metadata = Logger.Metadata()
  var logLevel = Logger.Level.trace

  init(records: Records) { self.records = records }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let source = event.metadata?["guest_source"].map { "\($0)" } ?? ""
    records.lines.withLock { $0.append("\(event.level) \(source): \(event.message)") }
  }
}
