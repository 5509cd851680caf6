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

  @Test func `what direct doors hold is not charged to pipelines`() {
    var credit = Credit(maximumJobs: 10, maximumBytes: 1_000)
    let pulled = Credit.Share(bytes: 5, isPulled: true)
    credit.take(Credit.Share(bytes: 100))
    credit.take(pulled)
    #expect(credit.pulledJobs == 1 && credit.pulledBytes == 5 && credit.jobs == 2 && credit.bytes == 105)
    credit.giveBack(pulled)
    #expect(credit.pulledJobs == 0 && credit.pulledBytes == 0 && credit.jobs == 1 && credit.bytes == 100)
  }
}
