import NubCap
import Testing

@testable import NubWorker

let echo: UInt32 = 1

/// A Data cap in wire form.
func dataCap(_ content: [UInt8]) -> [UInt8] { [2, 4, 0, 0, 0] + content }
func hash(ofCap wire: [UInt8]) throws -> CapHash { try CapView(validating: wire.span.bytes).hashTreeRoot() }

@Suite struct DirectDoorTests {
  let directory: TestDirectory
  let worker: TestWorker
  let dealer: TestSocket

  init() throws {
    directory = try TestDirectory()
    worker = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("direct"), .bind))])
    dealer = try TestSocket(.dealer, connect: worker.endpoints[0])
  }

  @Test func `a call comes back with its result`() throws {
    let reply = try dealer.ask(job(id: bytes("a"), operand: u32(echo), body: bytes("hello")))
    #expect(reply.status == .ok)
    #expect(reply.id == bytes("a"))
    #expect(reply.text == "hello")
    #expect(
      reply.meta.hasPrefix(
        "{\"worker\":\"test\",\"engine\":\"\(TestEngine.available.rawValue)\",\"sandbox\":"))
  }

  @Test func `a job that has a result is answered from the store and not run again`() throws {
    let counter = job(id: bytes("once"), operand: u32(16))
    let first = try dealer.ask(counter)
    let second = try dealer.ask(counter)
    #expect(first.status == .ok && !first.isDuplicate)
    #expect(second.isDuplicate)
    #expect(second.body == first.body)
  }

  @Test func `a result outlives its worker`() throws {
    let first = try dealer.ask(job(id: bytes("kept"), operand: u32(16)))
    worker.stop()
    let next = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("next"), .bind))])
    let socket = try TestSocket(.dealer, connect: next.endpoints[0])
    let second = try socket.ask(job(id: bytes("kept"), operand: u32(16)))
    #expect(second.isDuplicate && second.body == first.body)
    let result = try socket.ask(job("get_result", id: bytes("q"), operand: [], body: bytes("kept")))
    #expect(result.status == .ok && result.body == first.body)
  }

  @Test func `one job id with other content is a conflict`() throws {
    _ = try dealer.ask(job(id: bytes("c"), operand: u32(echo), body: bytes("1")))
    let reply = try dealer.ask(job(id: bytes("c"), operand: u32(echo), body: bytes("2")))
    #expect(reply.status == .conflict)
  }

  @Test func `job ids of different tenants do not meet`() throws {
    let mine = try dealer.ask(
      job(id: bytes("t"), operand: u32(echo), body: bytes("1"), [bytes(#"{"tenant":"a"}"#)]))
    let yours = try dealer.ask(
      job(id: bytes("t"), operand: u32(echo), body: bytes("2"), [bytes(#"{"tenant":"b"}"#)]))
    #expect(mine.text == "1" && yours.text == "2")
    let other = try dealer.ask(
      job("get_result", id: bytes("q"), operand: [], body: bytes("t"), [bytes(#"{"tenant":"c"}"#)]))
    #expect(other.status == .notFound)
  }

  @Test func `the envelope comes back unchanged`() throws {
    let envelope: [[UInt8]] = [[1, 2, 3], [], bytes("x")]
    let reply = try dealer.ask(envelope + job(id: bytes("e")))
    #expect(reply.envelope == envelope)
  }

  @Test func `a REQ socket is served`() throws {
    let request = try TestSocket(.req, connect: worker.endpoints[0])
    #expect(try request.ask(job(id: bytes("r"), body: bytes("req"))).text == "req")
    #expect(try request.ask(job(id: bytes("s"), body: bytes("again"))).text == "again")
  }

  @Test func `ping says who answers and what the guest can do`() throws {
    let reply = try dealer.ask(job("ping", id: bytes("p"), operand: [], body: bytes("anything")))
    #expect(reply.status == .ok)
    #expect(reply.text.contains("\"worker\":\"test\""))
    #expect(reply.text.contains("\"name\":\"echo\""))
  }

  @Test func `a guest's error is the job's result`() throws {
    let reply = try dealer.ask(job(id: bytes("f"), operand: u32(19), body: u32(77) + bytes("broken")))
    #expect(reply.status == .guestError)
    #expect(reply.text == "broken")
    #expect(reply.meta.contains("\"guest_status\":77"))
  }

  @Test func `an unknown function is named as such and not recorded`() throws {
    #expect(try dealer.ask(job(id: bytes("u"), operand: u32(9_999))).status == .unknownFunction)
    #expect(
      try dealer.ask(job("get_result", id: bytes("q"), operand: [], body: bytes("u"))).status == .notFound)
  }

  @Test func `a job that faults twice ends alone, and its neighbours do not notice`() throws {
    try #require(TestEngine.available == .kvm, "faults need KVM")
    for index in 0..<20 {
      let isBad = index == 7
      try dealer.send(
        job(id: bytes("n\(index)"), operand: u32(isBad ? 18 : echo), body: isBad ? [0] : bytes("\(index)")))
    }
    for _ in 0..<20 {
      let reply = try dealer.reply()
      if reply.id == bytes("n7") {
        #expect(reply.status == .guestFault)
        #expect(reply.meta.contains("\"attempt\":2"))
      } else {
        #expect(reply.status == .ok)
        #expect(bytes("n") + reply.body == reply.id)
      }
    }
  }

  @Test func `a job that runs too long is ended at its deadline`() throws {
    try #require(TestEngine.available == .kvm, "deadlines need KVM")
    let reply = try dealer.ask(
      job(
        id: bytes("d"), operand: u32(17), body: [UInt8](repeating: 0, count: 8),
        [bytes(#"{"deadline_ms":50}"#)]))
    #expect(reply.status == .deadlineExceeded)
  }

  @Test func `a job that has expired does not start`() throws {
    let reply = try dealer.ask(job(id: bytes("x"), operand: u32(echo), [bytes(#"{"expires_at_ms":1}"#)]))
    #expect(reply.status == .deadlineExceeded)
  }

  @Test func `a thousand jobs come back, each with its own result`() throws {
    for index in 0..<1_000 {
      try dealer.send(job(id: bytes("j\(index)"), operand: u32(echo), body: bytes("\(index)")))
    }
    var seen = Set<[UInt8]>()
    for _ in 0..<1_000 {
      let reply = try dealer.reply()
      #expect(reply.status == .ok)
      #expect(bytes("j") + reply.body == reply.id)
      seen.insert(reply.id)
    }
    #expect(seen.count == 1_000)
  }

  @Test func `malformed messages do no harm`() throws {
    let garbage: [[[UInt8]]] = [
      [[]], [bytes("NUB2")], [bytes("NUB1")],
      [bytes("NUB1"), bytes("call"), [UInt8](repeating: 1, count: 1 << 20)],
      [[UInt8](repeating: 0xFF, count: 100)], [[UInt8]](repeating: [1], count: 200),
    ]
    for message in garbage { try dealer.send(message) }
    let invalid = try dealer.ask(job(id: bytes("i"), [bytes("{")]))
    #expect(invalid.status == .badRequest)
    #expect(try dealer.ask(job(id: bytes("after"), body: bytes("alive"))).text == "alive")
  }
}

@Suite struct CapTests {
  let directory: TestDirectory
  let worker: TestWorker
  let dealer: TestSocket

  init() throws {
    directory = try TestDirectory()
    worker = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("direct"), .bind))])
    dealer = try TestSocket(.dealer, connect: worker.endpoints[0])
  }

  @Test func `a cap is put once and then known`() throws {
    let wire = dataCap(bytes("some bytes\n"))
    let hash = try hash(ofCap: wire)
    #expect(
      try dealer.ask(job("find_missing", id: bytes("m"), operand: [], body: hash.bytes)).body == hash.bytes)
    let put = try dealer.ask(job("put_cap", id: bytes("1"), operand: hash.bytes, body: wire))
    #expect(put.status == .ok && put.body == hash.bytes && !put.isDuplicate)
    #expect(try dealer.ask(job("find_missing", id: bytes("m"), operand: [], body: hash.bytes)).body.isEmpty)
    let again = try dealer.ask(job("put_cap", id: bytes("2"), operand: hash.bytes, body: []))
    #expect(again.status == .ok && again.body == hash.bytes && again.isDuplicate)
    #expect(try dealer.ask(job("get_cap", id: bytes("g"), operand: hash.bytes)).body == wire)
  }

  @Test func `a claim without bytes that nobody knows is named as missing, and nothing is filed`() throws {
    let hash = try hash(ofCap: dataCap(bytes("never sent")))
    let reply = try dealer.ask(job("put_cap", id: bytes("1"), operand: hash.bytes, body: []))
    #expect(reply.status == .capMissing && reply.body == hash.bytes)
    #expect(
      try dealer.ask(job("find_missing", id: bytes("2"), operand: [], body: hash.bytes)).body == hash.bytes)
  }

  @Test func `many long questions are each answered whole and in order`() throws {
    let known = try dealer.ask(job("put_cap", id: bytes("p"), operand: [], body: dataCap(bytes("known"))))
      .body
    func absent(_ question: Int, _ index: Int) -> [UInt8] {
      [UInt8(question), UInt8(index & 255), UInt8(index >> 8)] + [UInt8](repeating: 9, count: 29)
    }
    var missing: [[UInt8]: [UInt8]] = [:]
    for question in 0..<6 {
      // One has more than may be asked at once; the last is empty.
      let count = [3_000, 1, 255, 256, 257, 0][question]
      let hashes = (0..<count).map { absent(question, $0) }
      missing[bytes("q\(question)")] = hashes.flatMap { $0 }
      let asked = hashes.flatMap { $0 + known }
      try dealer.send(job("find_missing", id: bytes("q\(question)"), operand: [], body: asked))
    }
    try dealer.send(
      job("find_missing", id: bytes("much"), operand: [], body: [UInt8](repeating: 0, count: 65_537 * 32)))
    for _ in 0..<7 {
      let reply = try dealer.reply()
      if reply.id == bytes("much") {
        #expect(reply.status == .tooLarge)
      } else {
        #expect(reply.status == .ok && reply.body == missing[reply.id])
      }
    }
  }

  @Test func `a put that is wrong says how`() throws {
    let wire = dataCap(bytes("x"))
    let other = try hash(ofCap: dataCap(bytes("y")))
    #expect(
      try dealer.ask(job("put_cap", id: bytes("1"), operand: other.bytes, body: wire)).status == .hashMismatch
    )
    #expect(try dealer.ask(job("put_cap", id: bytes("2"), operand: [], body: [9, 9])).status == .capInvalid)
    #expect(try dealer.ask(job("put_cap", id: bytes("3"), operand: [], body: [])).status == .capInvalid)
    #expect(try dealer.ask(job("get_cap", id: bytes("4"), operand: other.bytes)).status == .notFound)
  }

  @Test func `a function gets the caps it asks for, also after a restart`() throws {
    let wire = dataCap(bytes("one two\nthree\n"))
    let hash = try hash(ofCap: wire)
    _ = try dealer.ask(job("put_cap", id: bytes("1"), operand: [], body: wire))
    #expect(try dealer.ask(job(id: bytes("2"), operand: u32(258), body: hash.bytes)).body == counts(2, 3, 14))
    worker.stop()
    let next = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("next"), .bind))])
    let socket = try TestSocket(.dealer, connect: next.endpoints[0])
    #expect(try socket.ask(job(id: bytes("3"), operand: u32(258), body: hash.bytes)).body == counts(2, 3, 14))
  }

  @Test func `a cap that nobody has is named`() throws {
    let hash = try hash(ofCap: dataCap(bytes("absent")))
    let reply = try dealer.ask(job(id: bytes("1"), operand: u32(258), body: hash.bytes))
    #expect(reply.status == .capMissing && reply.body == hash.bytes)
    let named = try dealer.ask(
      job(id: bytes("2"), operand: u32(echo), [bytes("{\"caps\":[\"\(hash.hex)\"]}")]))
    #expect(named.status == .capMissing && named.body == hash.bytes)
  }

  @Test func `caps that come along with a call are filed`() throws {
    let wire = dataCap(bytes("along\n"))
    let hash = try hash(ofCap: wire)
    let reply = try dealer.ask(job(id: bytes("1"), operand: u32(258), body: hash.bytes, [[], wire]))
    #expect(reply.body == counts(1, 1, 6))
    #expect(try dealer.ask(job("get_cap", id: bytes("2"), operand: hash.bytes)).body == wire)
  }

  @Test func `a tenant does not see another's caps`() throws {
    let wire = dataCap(bytes("secret"))
    let hash = try hash(ofCap: wire)
    let mine = [bytes(#"{"tenant":"a"}"#)]
    let yours = [bytes(#"{"tenant":"b"}"#)]
    _ = try dealer.ask(job("put_cap", id: bytes("1"), operand: [], body: wire, mine))
    #expect(try dealer.ask(job("get_cap", id: bytes("2"), operand: hash.bytes, body: [], mine)).body == wire)
    #expect(
      try dealer.ask(job("get_cap", id: bytes("3"), operand: hash.bytes, body: [], yours)).status == .notFound
    )
    let reply = try dealer.ask(job(id: bytes("4"), operand: u32(258), body: hash.bytes, yours))
    #expect(reply.status == .capMissing)
  }

  @Test func `a large cap goes in and out`() throws {
    let wire = dataCap([UInt8](repeating: 7, count: 8 << 20))
    let put = try dealer.ask(job("put_cap", id: bytes("1"), operand: [], body: wire))
    #expect(put.status == .ok)
    #expect(try dealer.ask(job("get_cap", id: bytes("2"), operand: put.body)).body == wire)
  }

  private func counts(_ values: UInt64...) -> [UInt8] {
    values.flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
  }
}
