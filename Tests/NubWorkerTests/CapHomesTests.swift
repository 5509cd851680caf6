import Glibc
import Logging
import NubCap
import NubStore
import Synchronization
import Testing

@testable import NubWorker

private let heapStats: UInt32 = 2
private let spin: UInt32 = 17

/// Two real lanes with a real sandbox each, both one tenant's, and caps in a real store: where do calls run that name one?
@Suite struct CapHomesTests {
  private let directory: TestDirectory
  /// Where a lane's thread is late, that is no reason here to run the call elsewhere.
  private let queue = WorkQueue(policy: SchedulerPolicy(passedMicroseconds: 60_000_000))
  private let committer = Committer()
  private let control = LaneControl(lanes: 2)
  private let caps: [CapHash]
  private let threads: [ThreadJoiner]
  private let source: SandboxEngineSource

  init() throws {
    directory = try TestDirectory()
    let wires = (0..<20).map { dataCap(bytes("cap \($0)")) }
    caps = try wires.map { try hash(ofCap: $0) }
    let worker = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("put"), .bind))])
    let dealer = try TestSocket(.dealer, connect: worker.endpoints[0])
    for (cap, wire) in zip(caps, wires) {
      let hash = Array(cap.bytes)
      #expect(try dealer.ask(job("put_cap", id: hash, operand: hash, body: wire)).status == .ok)
    }
    worker.stop()

    var configuration = WorkerConfiguration(
      name: "test", storePath: directory.path + "/nub.db",
      doors: [.direct(Endpoint(directory.ipc("none"), .bind))], lanes: 2)
    configuration.engine = TestEngine.available
    configuration.logger.logLevel = .critical
    let source = try SandboxEngineSource(configuration)
    let store = try SQLiteStore(path: configuration.storePath)
    let (queue, committer, control, logger) = (queue, committer, control, configuration.logger)
    threads = try (0..<2).map { index in
      let caps = LaneCaps(reader: try store.makeReader(), committer: committer, maximumBytes: 1 << 20)
      return try ThreadJoiner {
        Lane(
          index: index, queue: queue, committer: committer, source: source, caps: caps, control: control,
          limits: LaneLimits(), pulse: Pulse(), logger: logger
        ).run()
      }
    }
    self.source = source
  }

  @Test func `each of two sandboxes keeps serving its caps, and a busy one keeps nobody waiting`() throws {
    defer { stop() }
    // While one is busy with the first cap, the other gets another. Not so before the queue knows that the first ones run long, or
    // where a thread is late: hence the tries.
    var used = 1
    var homes: [UInt64] = []
    while homes.count < 2, used < caps.count {
      awaitIdle()
      let long = try start(spin, [50_000], naming: caps[0])
      let other = try start(echo, [], naming: caps[used])
      used += 1
      let done = try ended([long, other])
      if done[0].outcome?.sandbox != done[1].outcome?.sandbox {
        homes = done.map { $0.outcome?.sandbox ?? 0 }
      }
    }
    try #require(homes.count == 2 && !homes.contains(0))

    for round in 0..<100 {
      let which = round % 3 == 0 ? 0 : 1
      awaitIdle()
      let job = try ended([try start(echo, [], naming: caps[which == 0 ? 0 : used - 1])])[0]
      #expect(job.outcome?.status == .ok && job.outcome?.sandbox == homes[which], "round \(round)")
    }
    // Every cap was put into one sandbox, once.
    var held: UInt64 = 0
    for cap in [caps[0], caps[used - 1]] {
      awaitIdle()
      let stats = try ended([try start(heapStats, [], naming: cap)])[0]
      held += try #require(stats.outcome?.body[32..<40].reversed().reduce(0) { $0 << 8 | UInt64($1) })
    }
    #expect(held == UInt64(used))

    // Its home never ends what it does: the other lane takes the call.
    awaitIdle()
    let endless = try start(spin, [0], naming: caps[0])
    while queue.idleLanes() != 1 { usleep(100) }
    let urgent = try ended([try start(echo, [], naming: caps[0])])[0]
    #expect(urgent.outcome?.status == .ok && urgent.outcome?.sandbox == homes[1])
    endless.isCancelled.store(true, ordering: .relaxed)
    control.interrupt(endless)
  }

  private func stop() {
    queue.close()
    source.close()
    while control.stop() { usleep(1_000) }
    for thread in threads { thread.join() }
  }

  private func awaitIdle() { while queue.idleLanes() != 2 { usleep(100) } }

  private func start(_ function: UInt32, _ words: [UInt64], naming cap: CapHash) throws -> Job {
    var options = JobOptions()
    options.caps = [cap]
    // Copied from here by the job's content.
    let body = UnsafeMutableBufferPointer<UInt64>.allocate(capacity: max(1, words.count))
    defer { body.deallocate() }
    for (index, word) in words.enumerated() { body[index] = word.littleEndian }
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    let job = Job(
      key: JobKey(tenant: .default, id: try #require(ShortBytes("job"))), work: .call(function: function),
      digest: nil, options: options, rawOptions: [], attachedCaps: [], accepted: .now,
      acceptedUnixMilliseconds: UnixTime.milliseconds, asker: nil,
      content: JobContent(
        id: none, operand: none,
        body: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(body)[..<(8 * words.count)])))
    queue.enqueue([job])
    return job
  }

  /// Waits until these have ended, as the committer gets them.
  private func ended(_ jobs: [Job]) throws -> [Job] {
    var left = jobs.count
    while left > 0 {
      guard case .work(let work) = committer.next(until: .now + Milliseconds(60_000)) else {
        Issue.record("they did not end")
        break
      }
      for job in work.finished where jobs.contains(where: { $0 === job }) { left -= 1 }
    }
    return jobs
  }
}
