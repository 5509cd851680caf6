import Foundation
import Logging
import NubStore
import Synchronization
import Testing

@testable import NubWorker

/// A store that is not the worker's own: it passes everything on, and is told by being asked.
private final class OtherStore: Store {
  private let inner: SQLiteStore
  let readers = Atomic<Int>(0)

  init(path: String) throws(StoreError) { inner = try SQLiteStore(path: path) }

  func makeReader() throws(StoreError) -> any StoreReader {
    readers.add(1, ordering: .relaxed)
    return try inner.makeReader()
  }

  func makeWriter(_ identity: NubStore.WorkerIdentity) throws(StoreError) -> any StoreWriter {
    try inner.makeWriter(identity)
  }

  func makeWorkBook() throws(StoreError) -> any WorkBook { try inner.makeWorkBook() }

  var refusal: StoreError? { inner.refusal }
}

@Suite struct OtherStoreTests {
  @Test func `a worker runs on any store that it is given and opens none of its own`() throws {
    let directory = try TestDirectory()
    let store = try OtherStore(path: directory.path + "/other.db")
    var configuration = WorkerConfiguration(
      name: "test", storePath: directory.path + "/unused.db",
      doors: [.direct(Endpoint(directory.ipc("direct"), .bind))], lanes: 1)
    configuration.engine = TestEngine.available
    configuration.logger.logLevel = .error
    let worker = try Worker(configuration) { () throws(StoreError) in store }
    let thread = try ThreadJoiner { try? worker.run() }
    let dealer = try TestSocket(.dealer, connect: directory.ipc("direct"))
    #expect(try dealer.ask(job(id: bytes("a"), operand: u32(echo), body: bytes("hello"))).text == "hello")
    worker.shutdown()
    thread.join()
    #expect(store.readers.load(ordering: .relaxed) >= 2)
    #expect(!FileManager.default.fileExists(atPath: directory.path + "/unused.db"))
  }

  @Test func `a store that cannot be opened ends the start with its reason`() throws {
    let directory = try TestDirectory()
    let configuration = WorkerConfiguration(
      name: "test", storePath: "unused", doors: [.direct(Endpoint(directory.ipc("direct"), .bind))], lanes: 1)
    var changed = configuration
    changed.engine = TestEngine.available
    let worker = try Worker(changed) { () throws(StoreError) in throw StoreError(.locked, "held elsewhere") }
    let error = #expect(throws: WorkerError.self) { try worker.run() }
    #expect(error?.code == .store && error?.description.contains("held elsewhere") == true)
  }
}
