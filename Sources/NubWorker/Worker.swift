internal import NubSecurity
internal import NubStore
internal import Synchronization

/// The service: takes jobs from its doors, runs them in sandboxes, records results, and replies.
///
/// ```swift
/// let worker = try Worker(configuration)
/// try worker.run()          // blocks until shutdown() or stop()
/// ```
public final class Worker: Sendable {
  /// What this worker is doing at this moment. Any thread, any time.
  public var snapshot: WorkerSnapshot { board.snapshot }

  let board = WorkerBoard()

  let configuration: WorkerConfiguration
  private let wakeup: Wakeup
  private let request: ShutdownRequest
  /// How it is, from before ``run(onReady:)`` until after it.
  public let health: Health
  private let admission = Admission()

  /// Checks the configuration. Nothing is opened yet.
  ///
  /// - Throws: ``WorkerError`` with code `configuration`.
  public convenience init(_ configuration: WorkerConfiguration) throws(WorkerError) {
    try self.init(configuration, makeStore: nil)
  }

  /// - Parameter makeStore: opens another store than the SQLite file that the configuration names; called by ``run(onReady:)``.
  init(
    _ configuration: WorkerConfiguration, makeStore: (@Sendable () throws(StoreError) -> any Store)?
  ) throws(WorkerError) {
    try configuration.validate()
    self.configuration = configuration
    wakeup = try Wakeup()
    request = ShutdownRequest(wakeup: wakeup)
    health = Health(onChange: configuration.onHealth)
    self.makeStore = makeStore
  }

  /// Serves until a shutdown, on the calling thread; blocks. Call it once.
  ///
  /// - Parameter onReady: called when all doors are open, with the endpoints as bound (wildcards resolved), in the order of the
  ///   configuration's doors.
  /// - Throws: ``WorkerError`` if the store, a door or the first sandbox cannot be opened.
  public func run(onReady: ([String]) -> Void = { _ in }) throws(WorkerError) {
    let source = try SandboxEngineSource(configuration)
    try source.proveOne(configuration.logger)
    let store = try openStore()
    let service = WorkerService(
      configuration, wakeup: wakeup, request: request, store: store, source: source, health: health,
      admission: admission, board: board)
    try service.run(onReady: onReady)
  }

  private let makeStore: (@Sendable () throws(StoreError) -> any Store)?

  private func openStore() throws(WorkerError) -> any Store {
    if let makeStore {
      do throws(StoreError) {
        return try makeStore()
      } catch {
        throw WorkerError(.store, "cannot open the store", cause: error)
      }
    }
    var options = StoreOptions()
    switch configuration.durability {
    case .full: options.durability = .full
    case .normal: options.durability = .normal
    }
    options.maximumBytes = configuration.maximumStoreBytes
    do throws(StoreError) {
      return try SQLiteStore(path: configuration.storePath, options: options)
    } catch {
      throw WorkerError(.store, "cannot open the store \(configuration.storePath)", cause: error)
    }
  }

  /// Takes nothing new until ``resume()``: pipelines are not read, brokers are told goodbye, direct askers get `unavailable`. What is
  /// here is finished. Any thread.
  public func quiet() { request.beQuiet(true) }

  /// Takes work again after ``quiet()``.
  public func resume() { request.beQuiet(false) }

  /// Looks at the authorized keys at once, instead of within a second.
  ///
  /// - Returns: whether they are different now.
  @discardableResult
  public func reloadKeys() -> Bool { admission.keys.withLock { $0 }?.reloadIfChanged() ?? false }

  /// Asks the worker to finish what it has and to return from ``run(onReady:)``. Any thread, any number of times.
  public func shutdown() { request.drain() }

  /// Asks the worker to return at once; direct askers of what has not finished get `unavailable`, pulled jobs stay in the journal.
  public func stop() {
    request.drain()
    request.escalate()
  }
}

/// Who is admitted, once the sockets that ask are there.
final class Admission: Sendable {
  let keys = Mutex<AuthorizedKeys?>(nil)

  func use(_ curve: CurveGuard?) {
    let admitted = curve?.authenticator?.keys
    keys.withLock { $0 = admitted }
  }
}
