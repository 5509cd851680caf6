import NubCap
import Testing

@testable import NubWorker

/// A message made of byte arrays, lent to the decoder.
func withFrames<R>(_ frames: [[UInt8]], _ body: (FrameList) -> R) -> R {
  let pointers = frames.map { frame -> UnsafeRawBufferPointer in
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, frame.count), alignment: 1)
    memory.copyBytes(from: frame)
    return UnsafeRawBufferPointer(rebasing: memory.prefix(frame.count))
  }
  defer {
    for pointer in pointers { pointer.baseAddress.map { UnsafeMutableRawPointer(mutating: $0).deallocate() } }
  }
  return pointers.withUnsafeBufferPointer { body(FrameList($0)) }
}

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
func u32(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

func decode(_ frames: [[UInt8]], prefix: Int = 0, limits: ProtocolLimits = ProtocolLimits()) -> DecodedMessage
{
  withFrames(frames) { FrameDecoder(limits: limits).decode($0, prefix: prefix) }
}

func job(
  _ verb: String = "call", id: [UInt8] = bytes("job-1"), operand: [UInt8] = u32(1), body: [UInt8] = [],
  _ rest: [[UInt8]] = []
) -> [[UInt8]] {
  [bytes("NUB1"), bytes(verb), id, operand, body] + rest
}

extension DecodedMessage {
  var request: JobRequest? { if case .job(let request) = self { request } else { nil } }
  var refusal: Refusal? { if case .refused(let refusal) = self { refusal } else { nil } }
  var isUnanswerable: Bool { if case .unanswerable = self { true } else { false } }
}

@Suite struct FrameDecoderTests {
  @Test func `a call's function, id and frames are found`() throws {
    let request = try #require(decode(job(operand: u32(258), body: [1, 2, 3])).request)
    guard case .call(let function) = request.action else { return #expect(Bool(false), "not a call") }
    #expect(function == 258)
    #expect(request.id == ShortBytes("job-1"))
    #expect(request.start == 0)
    #expect(request.bodyFrame == 4)
    #expect(request.capCount == 0)
    #expect(request.options.priority == 5)
  }

  @Test(arguments: 0...8) func `up to eight envelope frames come before NUB1`(count: Int) throws {
    let envelope = (0..<count).map { [UInt8](repeating: 7, count: $0) }
    #expect(try #require(decode(envelope + job()).request).start == count)
    #expect(try #require(decode([[1, 2, 3, 4, 5]] + envelope + job(), prefix: 1).request).start == count + 1)
  }

  @Test func `a ninth envelope frame cannot be answered`() {
    #expect(decode([[UInt8]](repeating: [], count: 9) + job()).isUnanswerable)
  }

  @Test func `a routing id that spells NUB1 is not taken for the magic`() throws {
    #expect(try #require(decode([bytes("NUB1")] + job(), prefix: 1).request).start == 1)
  }

  @Test func `messages without a readable job id are not answered`() {
    #expect(decode([]).isUnanswerable)
    #expect(decode([[]]).isUnanswerable)
    #expect(decode([bytes("NUB1")]).isUnanswerable)
    #expect(decode([bytes("NUB1"), bytes("call")]).isUnanswerable)
    #expect(decode(job(id: [])).isUnanswerable)
    #expect(decode(job(id: [UInt8](repeating: 1, count: 65))).isUnanswerable)
    #expect(decode(job(id: [UInt8](repeating: 1, count: 1 << 20))).isUnanswerable)
    #expect(decode([bytes("NUB2"), bytes("call"), [1], u32(1), []]).isUnanswerable)
    #expect(decode([[UInt8](repeating: 0, count: 1_025)] + job()).isUnanswerable)
  }

  @Test func `messages with a job id are refused with a status and a reason`() throws {
    func status(_ frames: [[UInt8]]) throws -> Status {
      let refusal = try #require(decode(frames).refusal)
      #expect(!refusal.message.isEmpty)
      #expect(refusal.id == ShortBytes("job-1"))
      return refusal.status
    }
    #expect(try status(job("brew")) == .badRequest)
    #expect(try status(job("")) == .badRequest)
    #expect(try status(Array(job().prefix(3))) == .badRequest)
    #expect(try status(Array(job().prefix(4))) == .badRequest)
    #expect(try status(job(operand: [1, 2, 3])) == .badRequest)
    #expect(try status(job("put_cap", operand: [1])) == .badRequest)
    #expect(try status(job("put_cap", operand: [], body: [2], [[], [1]])) == .badRequest)
    #expect(try status(job("find_missing", operand: [], body: [1])) == .badRequest)
    #expect(try status(job("find_missing", operand: [1], body: [])) == .badRequest)
    #expect(try status(job("get_cap", operand: [])) == .badRequest)
    #expect(try status(job("get_result", operand: [], body: [])) == .badRequest)
    #expect(try status(job("cancel", operand: [], body: [UInt8](repeating: 0, count: 65))) == .badRequest)
    #expect(try status(job("ping", operand: [0])) == .badRequest)
    #expect(try status(job("call", [bytes("[]")])) == .badRequest)
    #expect(try status(job("call", [[UInt8](repeating: 0x20, count: 65_537)])) == .badRequest)
    #expect(try status(job("call", [[]] + [[UInt8]](repeating: [0], count: 257))) == .badRequest)
  }

  @Test func `a body over the limit is too large, one at the limit is not`() throws {
    var limits = ProtocolLimits()
    limits.bodyBytes = 100
    #expect(decode(job(body: [UInt8](repeating: 0, count: 100)), limits: limits).request != nil)
    let refusal = try #require(decode(job(body: [UInt8](repeating: 0, count: 101)), limits: limits).refusal)
    #expect(refusal.status == .tooLarge)
    let cap = decode(job("call", [[], [UInt8](repeating: 0, count: 101)]), limits: limits)
    #expect(cap.refusal?.status == .tooLarge)
  }

  @Test func `caps that come along are the frames behind the options`() throws {
    let request = try #require(decode(job("call", [[], [2, 1], [2, 2]])).request)
    #expect(request.capFrames == 6..<8)
  }

  @Test func `every verb decodes with its operand`() throws {
    let hash = [UInt8](repeating: 9, count: 32)
    for (verb, operand, body) in [
      ("call", u32(1), []), ("put_cap", hash, [2]), ("put_cap", [], [2]), ("find_missing", [], hash + hash),
      ("get_cap", hash, []), ("get_result", [], bytes("x")), ("cancel", [], bytes("x")),
      ("ping", [], bytes("any")),
    ] as [(String, [UInt8], [UInt8])] {
      let request = try #require(decode(job(verb, operand: operand, body: body)).request)
      #expect("\(request.verb.name)" == verb)
    }
  }

  @Test func `no mutation of a valid message traps the decoder`() {
    var random = SplitMix(seed: 1)
    let hash = [UInt8](repeating: 9, count: 32)
    let base: [[[UInt8]]] = [
      job("call", [bytes(#"{"priority":3,"tenant":"a"}"#), [2, 1]]), job("put_cap", operand: hash),
      [[1, 2, 3], []] + job("get_result", operand: [], body: bytes("other")),
    ]
    for _ in 0..<20_000 {
      var frames = base[Int(random.next() % UInt64(base.count))]
      for _ in 0..<(1 + random.next() % 4) {
        let index = Int(random.next() % UInt64(frames.count))
        switch random.next() % 5 {
        case 0: frames.remove(at: index)
        case 1: frames.insert(frames[index], at: index)
        case 2: frames[index].append(UInt8(truncatingIfNeeded: random.next()))
        case 3: frames[index] = Array(frames[index].dropLast())
        default:
          if !frames[index].isEmpty {
            frames[index][Int(random.next() % UInt64(frames[index].count))] ^= UInt8(
              truncatingIfNeeded: random.next())
          }
        }
        if frames.isEmpty { frames = [[]] }
      }
      _ = decode(frames)
    }
  }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
