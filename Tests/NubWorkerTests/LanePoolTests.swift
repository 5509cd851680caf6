import Logging
import NubCap
import NubStore
import Synchronization
import Testing

@testable import NubWorker

private let counter: UInt32 = 16
private let fault: UInt32 = 18
private let capSHA256: UInt32 = 257

/// One pool of sandboxes behind all lanes of a worker.
@Suite struct LanePoolTests {
  let directory: TestDirectory

  init() throws { directory = try TestDirectory() }

  private func start(
    lanes: Int, sandboxes: Int
  ) throws -> (worker: TestWorker, dealer: TestSocket) {
    let worker = try TestWorker(
      directory, doors: [.direct(Endpoint(directory.ipc("pool"), .bind))], lanes: lanes
    ) { $0.maximumSandboxes = sandboxes }
    return (worker, try TestSocket(.dealer, connect: worker.endpoints[0]))
  }

  private func call(
    _ id: String, _ function: UInt32, _ body: [UInt8] = [], tenant: String, fresh: Bool = false
  ) -> [[UInt8]] {
    let options = #"{"tenant":"\#(tenant)"\#(fresh ? #","fresh":true"# : "")}"#
    return job(id: bytes(id), operand: u32(function), body: body, [bytes(options)])
  }

  private func count(_ reply: TestReply) -> UInt64 {
    reply.body.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  @Test func `a tenant that comes back finds its sandbox as it left it`() throws {
    let (worker, dealer) = try start(lanes: 1, sandboxes: 4)
    for (round, tenant) in ["a", "b", "a", "b", "a"].enumerated() {
      let reply = try dealer.ask(call("\(round)", counter, tenant: tenant))
      #expect(reply.status == .ok && count(reply) == UInt64(round / 2 + 1))
    }
    worker.stop()
  }

  @Test func `a job that wants a fresh sandbox gets one, and its tenant keeps the other`() throws {
    let (worker, dealer) = try start(lanes: 1, sandboxes: 4)
    let counts = try [(false, 1), (true, 1), (true, 1), (false, 2), (true, 1), (false, 3)].enumerated().map {
      (round, wanted) in
      (count(try dealer.ask(call("\(round)", counter, tenant: "a", fresh: wanted.0))), wanted.1)
    }
    for (seen, expected) in counts { #expect(seen == UInt64(expected)) }
    worker.stop()
  }

  @Test(arguments: [(1, 1), (2, 2), (2, 3), (2, 8)])
  func `with more tenants than sandboxes nobody sees what another left`(lanes: Int, sandboxes: Int) throws {
    let (worker, dealer) = try start(lanes: lanes, sandboxes: sandboxes)
    let tenants = 6
    var secrets: [[UInt8]] = []
    for tenant in 0..<tenants {
      let secret = dataCap(bytes("secret of \(tenant)"))
      secrets.append(Array(try hash(ofCap: secret).bytes))
      let reply = try dealer.ask(
        job(
          "put_cap", id: bytes("put-\(tenant)"), operand: secrets[tenant], body: secret,
          [bytes(#"{"tenant":"t\#(tenant)"}"#)]))
      #expect(reply.status == .ok)
    }
    // Counts show what a sandbox remembers, caps what is in its directory.
    var expected: [String: Status] = [:]
    for round in 0..<8 {
      for tenant in 0..<tenants {
        let id = "count-\(round)-\(tenant)"
        expected[id] = .ok
        try dealer.send(call(id, counter, tenant: "t\(tenant)"))
        let other = (tenant + round) % tenants
        let look = "look-\(round)-\(tenant)"
        expected[look] = other == tenant ? .ok : .capMissing
        try dealer.send(call(look, capSHA256, secrets[other], tenant: "t\(tenant)"))
      }
    }
    while !expected.isEmpty {
      let reply = try dealer.reply()
      let id = String(decoding: reply.id, as: UTF8.self)
      #expect(reply.status == expected.removeValue(forKey: id), "\(id)")
      // No more than the tenant's own calls, whichever of them were in this sandbox.
      if id.hasPrefix("count") { #expect(count(reply) >= 1 && count(reply) <= 8) }
    }
    worker.stop()
  }

  @Test(.enabled(if: TestEngine.available == .kvm, "only a virtual machine survives a fault"))
  func `a tenant whose jobs fault hurts no other`() throws {
    let (worker, dealer) = try start(lanes: 2, sandboxes: 4)
    for round in 0..<12 {
      try dealer.send(call("bad-\(round)", fault, [UInt8(round % 4)], tenant: "bad"))
      for tenant in ["x", "y"] { try dealer.send(call("\(tenant)-\(round)", counter, tenant: tenant)) }
    }
    for _ in 0..<36 {
      let reply = try dealer.reply()
      let isBad = reply.id.starts(with: bytes("bad"))
      #expect(reply.status == (isBad ? .guestFault : .ok))
      if !isBad { #expect(count(reply) >= 1 && count(reply) <= 12) }
    }
    worker.stop()
  }

  @Test func `jobs wait while no sandbox can be made`() throws {
    let configuration = WorkerConfiguration(
      name: "test", storePath: directory.path + "/nub.db",
      doors: [.direct(Endpoint(directory.ipc("waits"), .bind))], lanes: 2)
    let service = try Service(configuration, failures: 5)
    let dealer = try TestSocket(.dealer, connect: service.endpoint)
    for number in 0..<10 { try dealer.send(call("\(number)", echo, bytes("x"), tenant: "t\(number % 3)")) }
    for _ in 0..<10 { #expect(try dealer.reply().status == .ok) }
    #expect(service.source.failures.load(ordering: .relaxed) <= 0)
    service.stop()
  }

  @Test func `fewer sandboxes than lanes are refused`() {
    var configuration = WorkerConfiguration(
      name: "test", storePath: "x", doors: [.direct(Endpoint("ipc:///tmp/x", .bind))], lanes: 3)
    for sandboxes in [-1, 0, 2, 100_001] {
      configuration.maximumSandboxes = sandboxes
      #expect { try configuration.validate() } throws: { error in
        (error as? WorkerError)?.message.contains("maximumSandboxes is \(sandboxes)") == true
      }
    }
    configuration.maximumSandboxes = 3
    #expect(throws: Never.self) { try configuration.validate() }
  }
}

/// Sandboxes that cannot be had at first.
private final class FailingSource: LaneEngineSource {
  private let source: SandboxEngineSource
  let failures: Atomic<Int>

  init(_ source: SandboxEngineSource, failures: Int) {
    self.source = source
    self.failures = Atomic(failures)
  }

  var name: String { source.name }
  var kind: NubStore.Engine { source.kind }
  var image: ImageRecord? { source.image }
  var functions: [(id: UInt32, name: String)] { source.functions }

  func take(
    _ tenant: TenantSlot, fresh: Bool, preferring sandbox: UInt64, caps: any CapSupply
  ) throws(EngineError) -> any LaneEngine {
    guard failures.wrappingSubtract(1, ordering: .relaxed).oldValue > 0 else {
      return try source.take(tenant, fresh: fresh, preferring: sandbox, caps: caps)
    }
    throw EngineError(code: .unavailable, message: "not yet")
  }

  func give(_ engine: any LaneEngine, of tenant: TenantSlot, _ disposal: EngineDisposal) {
    source.give(engine, of: tenant, disposal)
  }

  func waitForChange() {}
  func close() { source.close() }
}

/// A worker's service with such a source, on a thread of its own.
private final class Service {
  let source: FailingSource
  let endpoint: String
  private let request: ShutdownRequest
  private let thread: ThreadJoiner

  init(_ given: WorkerConfiguration, failures: Int) throws {
    var configuration = given
    configuration.engine = TestEngine.available
    configuration.lingerMilliseconds = 200
    configuration.logger.logLevel = .critical
    let settings = configuration
    let source = FailingSource(try SandboxEngineSource(settings), failures: failures)
    let wakeup = try Wakeup()
    let request = ShutdownRequest(wakeup: wakeup)
    let store = try SQLiteStore(path: settings.storePath)
    let ready = Monitor<[String]?>(nil)
    thread = try ThreadJoiner {
      let service = WorkerService(
        settings, wakeup: wakeup, request: request, store: store, source: source, health: Health(),
        admission: Admission(), board: WorkerBoard())
      do {
        try service.run { endpoints in
          ready.withLock { $0 = endpoints }
          ready.broadcast()
        }
      } catch {
        Issue.record(error)
      }
    }
    self.source = source
    self.request = request
    endpoint = try #require(ready.wait(until: .now + Milliseconds(60_000)) { $0 }?.first)
  }

  func stop() {
    request.drain()
    thread.join()
  }
}
