public import NubStore

extension Worker {
  /// A worker on a store of the caller's: any implementation that keeps the promises of the conformance suite. The configuration's
  /// `storePath`, `durability` and `maximumStoreBytes` mean nothing then.
  ///
  /// - Parameter makeStore: called once, by ``run(onReady:)``, on its thread.
  /// - Throws: ``WorkerError`` with code `configuration`.
  public convenience init(
    _ configuration: WorkerConfiguration,
    store makeStore: @escaping @Sendable () throws(StoreError) -> any Store
  ) throws(WorkerError) {
    try self.init(configuration, makeStore: makeStore)
  }
}
