internal import NubCap
internal import NubStore

/// A call as a lane hands it to its sandbox. The payload is the job's and outlives the batch.
struct EngineCall {
  var function: UInt32
  var payload: UnsafeRawBufferPointer
  /// The longest run time in milliseconds; nil: the sandbox's own limit.
  var deadlineMilliseconds: UInt32?
}

/// How one call of a batch ended, in the terms that decide what becomes of the job.
enum EngineResult {
  case returned([UInt8])
  /// The function itself reported an error. The sandbox is as good as before.
  case guestError(status: UInt32, message: String)
  /// No function has this id.
  case unknownFunction
  /// The guest asked for caps that nobody has.
  case capsMissing([CapHash])
  /// Payload or result over the limit.
  case tooLarge(message: String)
  /// Exception, abort or broken protocol. The sandbox is gone.
  case fault(message: String)
  /// Killed at its deadline. The sandbox is gone.
  case deadlineExceeded
  /// Killed on request. The sandbox is gone.
  case cancelled
  /// Not started; may run elsewhere.
  case notRun
  /// The machine underneath failed; says nothing about the job.
  case unavailable(message: String)
}

/// One sandbox of whichever engine, owned by one lane's thread.
protocol LaneEngine: AnyObject {
  /// Unique in the process.
  var sandboxID: UInt64 { get }
  /// Whether it refuses further work and must be replaced.
  var isPoisoned: Bool { get }
  /// Whether nothing has run in it since it was made or restored.
  var isPristine: Bool { get }
  /// Kills the call that runs, from any thread; does nothing if none runs.
  var interrupt: @Sendable () -> Void { get }
  /// Has a core file written of the guest that runs, which goes on afterwards; any thread. nil where it has no machine.
  var dump: GuestDump? { get }
  /// Runs the calls in one VM entry. `deliver` is called once per call, in order, as results are published, with the call's index and
  /// its run time in microseconds.
  func run(_ calls: UnsafeBufferPointer<EngineCall>, deliver: (Int, consuming EngineResult, UInt32) -> Void)
  /// Files a cap in the guest's directory.
  ///
  /// - Returns: the hash that the guest computed.
  func put(_ wire: UnsafeRawBufferPointer) throws(EngineError) -> CapHash
  /// Whether the guest's directory holds the cap; reads shared memory, enters no VM.
  func holds(_ hash: CapHash) -> Bool
  /// Caps of the guest's directory that calls have used since this was asked before; none if that is less than `interval` ago.
  func usedCaps(every interval: Duration) -> [CapHash]
}

/// Writes a core file to the path that it is given and says how that went, from another thread.
///
/// Returns false where nothing runs; then nothing more comes.
typealias GuestDump =
  @Sendable (
    _ path: String, _ completion: @escaping @Sendable (Result<String, WorkerError>) -> Void
  ) -> Bool

extension LaneEngine {
  var dump: GuestDump? { nil }

  func usedCaps(every interval: Duration) -> [CapHash] { [] }
}

/// Why a sandbox could not do what it was told.
struct EngineError: Error {
  enum Code {
    /// The guest says that these bytes are no cap.
    case capRefused
    case fault
    case tooLarge
    case unavailable
  }

  var code: Code
  var message: String
}

/// What becomes of a sandbox that a lane has done with.
enum EngineDisposal {
  /// It is kept for the tenant, which may come back.
  case keep
  /// The tenant has no use for what is in it.
  case reuse
  /// Nobody shall use it again.
  case discard
}

/// Gives sandboxes to lanes.
protocol LaneEngineSource: Sendable {
  /// As replies and the store name it: `kvm` or `inprocess`.
  var name: String { get }
  /// The same for the store.
  var kind: NubStore.Engine { get }
  /// What the store should name as what computed the results.
  var image: ImageRecord? { get }
  /// What the guest offers.
  var functions: [(id: UInt32, name: String)] { get }
  /// A sandbox for a tenant: the one that it had last, or one in which nothing has run.
  ///
  /// - Parameters:
  ///   - fresh: only the latter.
  ///   - sandbox: the number of the one that it would rather have; 0: none.
  ///   - caps: what the sandbox asks when its guest needs a cap.
  func take(
    _ tenant: TenantSlot, fresh: Bool, preferring sandbox: UInt64, caps: any CapSupply
  ) throws(EngineError) -> any LaneEngine
  /// Takes a sandbox back. The lane uses it no more.
  func give(_ engine: any LaneEngine, of tenant: TenantSlot, _ disposal: EngineDisposal)
  /// After a ``take(_:fresh:preferring:caps:)`` that failed: returns when it may succeed, or after some seconds, or after ``close()``.
  func waitForChange()
  /// Drops what no lane has, and lets nobody wait.
  func close()
}

/// Supplies caps to a guest that asks (host function 1). Called on the lane's thread while its sandbox runs.
protocol CapSupply: AnyObject, Sendable {
  /// - Returns: for each cap a `u32` length, little-endian, and its wire form.
  func fetch(_ hashes: [CapHash]) throws(CapSupplyError) -> [UInt8]
}

enum CapSupplyError: Error {
  /// Nobody has them, or this tenant may not see them.
  case missing([CapHash])
  case failed(String)
}
