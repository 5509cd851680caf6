import Foundation
import Glibc
import Logging
import NubHTTP
import NubLifecycle
import NubWorker
import ServiceLifecycle
import Testing

/// The library's form: services in somebody else's group, in somebody else's process.
@Suite(.serialized) struct ServiceTests {
  let directory: String

  init() throws {
    var template = Array("/tmp/nub-life-XXXXXX".utf8CString)
    directory = try #require(mkdtemp(&template).map { String(cString: $0) })
  }

  func worker(_ change: (inout WorkerConfiguration) -> Void = { _ in }) throws -> (
    Worker, WorkerConfiguration
  ) {
    var configuration = WorkerConfiguration(
      name: "served", storePath: directory + "/nub.db",
      doors: [.direct(try Endpoint(parsing: "ipc://\(directory)/door", default: .bind))], lanes: 2)
    configuration.engine = access("/dev/kvm", R_OK | W_OK) == 0 ? .kvm : .inprocess
    configuration.logger.logLevel = .error
    change(&configuration)
    return (try Worker(configuration), configuration)
  }

  /// One life of a whole process' services; ends when the worker is ready.
  func live(_ end: @escaping @Sendable (Worker, ServiceGroup) async -> Void) async throws {
    let (worker, configuration) = try worker()
    let http = HTTPServer(
      try HTTPAddress(parsing: "0"),
      content: WorkerSite(worker: worker, configuration: configuration, registry: MetricsRegistry()),
      logger: configuration.logger)
    let control = try ControlServer(
      ControlPlace(store: configuration.storePath), worker: worker, name: configuration.name)
    let ready = AsyncStream.makeStream(of: Void.self)
    let main = BlockingService(
      worker, after: { _ = try await http.address() }, onReady: { _ in ready.continuation.yield() })
    typealias Served = ServiceGroupConfiguration.ServiceConfiguration
    let services = [
      Served(service: http), Served(service: BlockingService(control)),
      Served(service: main, successTerminationBehavior: .gracefullyShutdownGroup),
    ]
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(services: services, logger: configuration.logger))
    let running = Task { try await group.run() }
    for await _ in ready.stream { break }
    #expect(worker.health.isReady || worker.health.report.phase == .starting)
    await end(worker, group)
    try await running.value
    #expect(worker.health.report.phase == .stopped)
  }

  @Test func aGroupsShutdownAndTheWorkersOwnEndEverything() async throws {
    try await live { _, group in await group.triggerGracefulShutdown() }
    try await live { worker, _ in worker.shutdown() }
    try await live { worker, _ in worker.stop() }
  }

  /// In a process of its own, where no other test opens anything.
  @Test func manyLivesLeaveNoDescriptorsBehind() async {
    await #expect(processExitsWith: .success) {
      let tests = try ServiceTests()
      // What is opened once in a process is open after these.
      for _ in 0..<2 { try await tests.live { worker, _ in worker.shutdown() } }
      let before = tests.descriptors()
      for _ in 0..<6 { try await tests.live { worker, _ in worker.shutdown() } }
      exit(tests.descriptors() <= before ? EXIT_SUCCESS : EXIT_FAILURE)
    }
  }

  @Test func aShutdownBeforeTheStartIsNotForgotten() async throws {
    let (worker, _) = try worker()
    worker.shutdown()
    try await BlockingService(worker).run()
    #expect(worker.health.report.phase == .stopped)
  }

  @Test func whatCannotStartSaysWhyAndEndsTheOthers() async throws {
    let (worker, configuration) = try worker { $0.storePath = "/proc/none/nub.db" }
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [
          ServiceGroupConfiguration.ServiceConfiguration(
            service: BlockingService(worker), failureTerminationBehavior: .gracefullyShutdownGroup)
        ], logger: configuration.logger))
    let error = await #expect(throws: WorkerError.self) { try await group.run() }
    #expect(error.map { EndStatus($0) } == .store)
  }

  private func descriptors() -> Int {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []).count
  }
}
