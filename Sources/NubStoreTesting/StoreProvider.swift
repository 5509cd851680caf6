public import NubStore

/// What the promises need of an implementation: fresh stores, and handles on them.
public protocol StoreProvider {
  /// A new, empty store for each call.
  func makeStore(_ options: StoreOptions) throws -> StoreUnderTest
}

/// A store, and ways to ask it, as one test uses it.
public struct StoreUnderTest {
  public var store: any Store
  /// Opens the same store as another process would.
  public var reopen: () throws -> any Store
  public var queries: () throws -> any StoreQueries
  public var maintenance: () throws -> any StoreMaintenance

  public init(
    store: any Store, reopen: @escaping () throws -> any Store,
    queries: @escaping () throws -> any StoreQueries,
    maintenance: @escaping () throws -> any StoreMaintenance
  ) {
    self.store = store
    self.reopen = reopen
    self.queries = queries
    self.maintenance = maintenance
  }

  package func makeWriter(_ name: String = "w") throws -> any StoreWriter {
    try store.makeWriter(WorkerIdentity(name: name, host: "host", pid: 1, version: "1"))
  }
}
