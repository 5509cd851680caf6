import Logging
import NubCap
import NubStore
import Testing

@testable import NubWorker

/// What a lane does when its sandbox breaks while a cap is put. KVM's guest does not break when asked to, so the sandboxes are played
/// from a script; the lane, its queue, the committer and the store are real.
@Suite struct PutFaultTests {
  /// How a sandbox answers its first put.
  enum Play: Sendable {
    case fault
    case lie
    case files
  }

  private let directory: TestDirectory
  private let queue = WorkQueue()
  private let committer = Committer()
  private let store: SQLiteStore

  init() throws {
    directory = try TestDirectory()
    store = try SQLiteStore(path: directory.path + "/store.db")
  }

  @Test(arguments: [Play.fault, .lie]) func `a put whose sandbox breaks is tried again in a fresh one`(
    play: Play
  ) throws {
    let wire = dataCap(bytes("content"))
    let (job, sandboxes) = try run(try put(wire), [play, .files])
    #expect(job.outcome?.status == .ok)
    #expect(job.outcome?.body == (try hash(ofCap: wire).bytes))
    #expect(job.attempt == 2)
    #expect(sandboxes == 2)
    #expect(job.filedCaps.count == 1)
  }

  @Test(arguments: [Play.fault, .lie]) func `a second fault is final and files nothing`(play: Play) throws {
    let (job, sandboxes) = try run(try put(dataCap(bytes("content"))), [play, .fault, .files])
    #expect(job.outcome?.status == .guestFault)
    #expect(job.attempt == 2)
    #expect(sandboxes == 2)
    #expect(job.filedCaps.isEmpty)
  }

  @Test
  func `a call whose cap breaks the sandbox is tried again in a fresh one, and its caps are filed once`()
    throws
  {
    let wire = dataCap(bytes("along"))
    let (job, sandboxes) = try run(try call([wire]), [.fault, .files])
    #expect(job.outcome?.status == .ok)
    #expect(job.attempt == 2)
    #expect(sandboxes == 2)
    #expect(job.filedCaps.count == 1)
  }

  @Test func `a call whose caps break two sandboxes is a guest fault`() throws {
    let (job, _) = try run(try call([dataCap(bytes("along"))]), [.fault, .fault])
    #expect(job.outcome?.status == .guestFault)
  }

  private func put(_ wire: [UInt8]) throws -> Job { try job(.putCap(claim: nil), body: wire, caps: []) }

  private func call(_ caps: [[UInt8]]) throws -> Job {
    try job(.call(function: echo), body: bytes("x"), caps: caps)
  }

  private func job(_ work: Job.Work, body: [UInt8], caps: [[UInt8]]) throws -> Job {
    let id = bytes("job")
    let digest = try #require([UInt8](repeating: 1, count: 16).withUnsafeBytes { ContentDigest($0) })
    return Job(
      key: JobKey(tenant: .default, id: try #require(ShortBytes("job"))), work: work, digest: digest,
      options: JobOptions(), rawOptions: [],
      attachedCaps: caps.map { cap in cap.withUnsafeBytes { AttachedCap(copying: $0) } }, accepted: .now,
      acceptedUnixMilliseconds: UnixTime.milliseconds, asker: nil,
      content: content(id, body))
  }

  private func content(_ id: [UInt8], _ body: [UInt8]) -> JobContent {
    let none = UnsafeRawBufferPointer(start: nil, count: 0)
    let id = UnsafeMutableRawBufferPointer.allocate(copying: id)
    let body = UnsafeMutableRawBufferPointer.allocate(copying: body)
    defer {
      id.deallocate()
      body.deallocate()
    }
    return JobContent(id: UnsafeRawBufferPointer(id), operand: none, body: UnsafeRawBufferPointer(body))
  }

  /// Runs one job on a lane whose sandboxes follow the script, and returns it as the committer gets it.
  private func run(_ job: Job, _ script: [Play]) throws -> (job: Job, sandboxes: Int) {
    let source = ScriptedSource(script)
    let committer = committer
    let queue = queue
    let caps = LaneCaps(reader: try store.makeReader(), committer: committer, maximumBytes: 1 << 20)
    let thread = try ThreadJoiner {
      var limits = LaneLimits()
      limits.maximumRunMilliseconds = 1_000
      Lane(
        index: 0, queue: queue, committer: committer, source: source, caps: caps,
        control: LaneControl(lanes: 1),
        limits: limits, pulse: Pulse(), logger: Logger(label: "test")
      ).run()
    }
    queue.enqueue([job])
    defer {
      queue.close()
      thread.join()
    }
    guard case .work(let work) = committer.next(until: .now + Milliseconds(60_000)) else {
      Issue.record("the job did not end")
      return (job, 0)
    }
    return (try #require(work.finished.first), source.made)
  }
}

private final class ScriptedSource: LaneEngineSource {
  private let script: Monitor<[PutFaultTests.Play]>
  private let count: Int

  init(_ script: [PutFaultTests.Play]) {
    self.script = Monitor(script)
    count = script.count
  }

  var made: Int { count - script.withLock { $0.count } }
  let name = "scripted"
  let kind = NubStore.Engine.inprocess
  let image: ImageRecord? = nil
  let functions: [(id: UInt32, name: String)] = []

  func take(_ tenant: TenantSlot, fresh: Bool, caps: any CapSupply) throws(EngineError) -> any LaneEngine {
    guard let play = script.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
      throw EngineError(code: .unavailable, message: "the script is over")
    }
    return ScriptedEngine(play)
  }

  func give(_ engine: any LaneEngine, of tenant: TenantSlot, _ disposal: EngineDisposal) {}
  func waitForChange() {}
  func close() {}
}

private final class ScriptedEngine: LaneEngine {
  let sandboxID: UInt64 = 1
  private(set) var isPoisoned = false
  private(set) var isPristine = true
  let interrupt: @Sendable () -> Void = {}
  private let play: PutFaultTests.Play

  init(_ play: PutFaultTests.Play) {
    self.play = play
  }

  func run(_ calls: UnsafeBufferPointer<EngineCall>, deliver: (Int, consuming EngineResult, UInt32) -> Void) {
    isPristine = false
    for index in calls.indices { deliver(index, .returned([UInt8](calls[index].payload)), 1) }
  }

  func put(_ wire: UnsafeRawBufferPointer) throws(EngineError) -> CapHash {
    switch play {
    case .fault:
      isPoisoned = true
      throw EngineError(code: .fault, message: "page fault")
    case .lie: return .zero
    case .files:
      guard let cap = try? CheckedCap(wire) else { throw EngineError(code: .capRefused, message: "no cap") }
      return cap.hash
    }
  }

  func holds(_ hash: CapHash) -> Bool { false }
}

extension UnsafeMutableRawBufferPointer {
  fileprivate static func allocate(copying bytes: [UInt8]) -> UnsafeMutableRawBufferPointer {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 1, alignment: 8)
    memory.copyBytes(from: bytes)
    return UnsafeMutableRawBufferPointer(rebasing: memory[..<bytes.count])
  }
}
