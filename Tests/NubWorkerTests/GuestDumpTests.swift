import Foundation
import Synchronization
import Testing

@testable import NubWorker

private let spin: UInt32 = 17

/// Core files of guests that run, when an operator asks.
@Suite(.enabled(if: TestEngine.available == .kvm, "only a virtual machine can be written down"))
struct GuestDumpTests {
  let directory: TestDirectory

  init() throws { directory = try TestDirectory() }

  @Test func `a guest that runs is written down and goes on`() throws {
    let dumps = directory.path + "/dumps"
    try FileManager.default.createDirectory(atPath: dumps, withIntermediateDirectories: false)
    let worker = try TestWorker(
      directory, doors: [.direct(Endpoint(directory.ipc("running"), .bind))], lanes: 2
    ) { $0.crashDumpPath = dumps }
    let dealer = try TestSocket(.dealer, connect: worker.endpoints[0])
    #expect(try worker.worker.dumpRunningGuests { _, _ in Issue.record("nothing runs") } == 0)

    let microseconds = withUnsafeBytes(of: UInt64(2_000_000).littleEndian) { Array($0) }
    try dealer.send(job(id: bytes("long"), operand: u32(spin), body: microseconds))
    let seen = Mutex<[(sandbox: UInt64, result: Result<String, WorkerError>)]>([])
    while try worker.worker.dumpRunningGuests({ sandbox, result in
      seen.withLock { $0.append((sandbox, result)) }
    }) == 0 { usleep(1_000) }
    let reply = try dealer.reply()
    #expect(reply.status == .ok)
    let (sandbox, result) = try #require(seen.withLock { $0.first })
    let path = try result.get()
    #expect(path.hasPrefix(dumps + "/nub-guest-"))
    #expect(reply.meta.contains("\"sandbox\":\(sandbox)"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: dumps).count == 1)
    #expect(try Data(contentsOf: URL(filePath: path)).starts(with: [0x7f, 0x45, 0x4c, 0x46]))
    worker.stop()
  }

  @Test func `without a folder for them there are none`() throws {
    let worker = try TestWorker(directory, doors: [.direct(Endpoint(directory.ipc("none"), .bind))])
    let error = #expect(throws: WorkerError.self) { try worker.worker.dumpRunningGuests { _, _ in } }
    #expect(error?.code == .configuration && error?.message.contains("--crash-dumps") == true)
    worker.stop()
  }

  @Test func `each lane's sandbox has a port for gdb, in a row`() {
    var configuration = WorkerConfiguration(
      name: "test", storePath: "x", doors: [.direct(Endpoint("ipc:///tmp/x", .bind))], lanes: 3)
    for (port, engine, isGood) in [
      (0, .kvm, true), (65_533, .kvm, true), (65_534, .kvm, false), (0, .inprocess, false),
    ] as [(UInt16, WorkerConfiguration.Engine, Bool)] {
      configuration.debuggerPort = port
      configuration.engine = engine
      #expect(((try? configuration.validate()) != nil) == isGood, "\(port) \(engine)")
    }
  }
}
