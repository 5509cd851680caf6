import Testing

@testable import NubWorker

@Suite struct PipelineDoorTests {
  let directory: TestDirectory
  let ventilator: TestSocket
  let sink: TestSocket

  init() throws {
    directory = try TestDirectory()
    ventilator = try TestSocket(.push, bind: directory.ipc("jobs"))
    sink = try TestSocket(.pull, bind: directory.ipc("replies"))
  }

  private func makeWorker() throws -> TestWorker {
    try TestWorker(
      directory,
      doors: [
        .pipeline(
          jobs: Endpoint(ventilator.endpoint, .connect), replies: Endpoint(sink.endpoint, .connect))
      ])
  }

  @Test func `jobs that are pushed come out at the sink`() throws {
    let worker = try makeWorker()
    for index in 0..<500 { try ventilator.send(job(id: bytes("p\(index)"), body: bytes("\(index)"))) }
    var seen = Set<[UInt8]>()
    for _ in 0..<500 {
      let reply = try sink.reply()
      #expect(reply.status == .ok)
      #expect(bytes("p") + reply.body == reply.id)
      seen.insert(reply.id)
    }
    #expect(seen.count == 500)
    worker.stop()
  }

  @Test func `a job that is pushed twice runs once and is answered twice`() throws {
    let worker = try makeWorker()
    try ventilator.send(job(id: bytes("t"), operand: u32(16)))
    let first = try sink.reply()
    try ventilator.send(job(id: bytes("t"), operand: u32(16)))
    let second = try sink.reply()
    #expect(second.isDuplicate && first.body == second.body)
    worker.stop()
  }

  @Test func `a collector that comes late gets everything`() throws {
    let late = directory.ipc("late")
    let worker = try TestWorker(
      directory,
      doors: [.pipeline(jobs: Endpoint(ventilator.endpoint, .connect), replies: Endpoint(late, .bind))]
    ) { $0.maximumJobs = 64 }
    for index in 0..<200 { try ventilator.send(job(id: bytes("l\(index)"), body: bytes("\(index)"))) }
    let collector = try TestSocket(.pull, connect: late)
    var seen = Set<[UInt8]>()
    for _ in 0..<200 { seen.insert(try collector.reply().id) }
    #expect(seen.count == 200)
    worker.stop()
  }

  @Test func `more payload than a door takes at once comes out whole`() throws {
    let worker = try makeWorker()
    let body = [UInt8](repeating: 7, count: 128 << 10)
    // 25 MB, in more jobs than may be too many.
    for index in 0..<200 { try ventilator.send(job(id: bytes("b\(index)"), body: body)) }
    var seen = Set<[UInt8]>()
    for _ in 0..<200 {
      let reply = try sink.reply()
      #expect(reply.body == body)
      seen.insert(reply.id)
    }
    #expect(seen.count == 200)
    worker.stop()
  }

  @Test func `a collector that is away leaves room for those who ask directly`() throws {
    let away = directory.ipc("away")
    let worker = try TestWorker(
      directory,
      doors: [
        .pipeline(jobs: Endpoint(ventilator.endpoint, .connect), replies: Endpoint(away, .bind)),
        .direct(Endpoint(directory.ipc("serve"), .bind)),
      ]
    ) { $0.maximumJobs = 64 }
    let dealer = try TestSocket(.dealer, connect: worker.endpoints[2])
    for index in 0..<200 { try ventilator.send(job(id: bytes("a\(index)"), body: bytes("\(index)"))) }
    // Three quarters are pulled, and their results wait.
    for index in 0..<48 {
      let deadline = Monotonic.now + Milliseconds(60_000)
      var status = Status.notFound
      while status != .ok, Monotonic.now < deadline {
        status = try dealer.ask(job("get_result", id: bytes("g"), operand: [], body: bytes("a\(index)")))
          .status
      }
      try #require(status == .ok, "\(index)")
    }
    for index in 0..<200 { #expect(try dealer.ask(job(id: bytes("d\(index)"))).status == .ok) }
    let next = try dealer.ask(job("get_result", id: bytes("g"), operand: [], body: bytes("a48")))
    #expect(next.status == .notFound)
    // It comes, and the rest is pulled.
    let collector = try TestSocket(.pull, connect: away)
    var seen = Set<[UInt8]>()
    for _ in 0..<200 { seen.insert(try collector.reply().id) }
    #expect(seen.count == 200)
    worker.stop()
  }
}
