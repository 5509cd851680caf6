public import Logging
internal import NubSecurity

/// Everything that a worker can be told. Defaults serve one machine; ``validate()`` refuses what cannot work, by name.
public struct WorkerConfiguration: Sendable {
  /// A way in.
  public enum Door: Sendable, Hashable {
    /// ROUTER: every DEALER or REQ gets its reply on the same socket.
    case direct(Endpoint)
    /// PULL and PUSH: jobs come in at one endpoint and are journaled, replies go out at the other.
    case pipeline(jobs: Endpoint, replies: Endpoint)
    /// Majordomo workers (RFC 7) at a broker: `slots` for the service, and as many for `SERVICE.WORKER`.
    case fleet(broker: Endpoint, service: String, slots: Int)
  }

  /// Where guest code runs.
  public enum Engine: String, Sendable, CaseIterable {
    /// In KVM micro-VMs.
    case kvm
    /// In this process, without isolation. For development only.
    case inprocess
  }

  /// How much a reply promises.
  public enum Durability: String, Sendable, CaseIterable {
    /// A result survives a power cut before its reply leaves.
    case full
    /// A result survives the worker's death; a power cut may take the last moments.
    case normal
  }

  /// The endpoint of a worker without doors of its own.
  public static let defaultEndpoint = "tcp://127.0.0.1:7700"

  /// What replies and the store call this worker; at most 64 bytes.
  public var name: String
  public var version = "0.1.0"
  public var doors: [Door]
  /// Path of the SQLite file.
  public var storePath: String
  public var durability = Durability.full
  /// Size of the store in bytes from which new work is refused; nil for none.
  public var maximumStoreBytes: Int64?
  /// How long results, failures and caps are kept.
  public var retention = Retention()
  public var engine = Engine.kvm
  /// Folder for crash dumps of guests that fault; nil for none. One dump holds the memory of one tenant's guest.
  public var crashDumpPath: String?
  /// Loopback TCP port for gdb on the first sandbox; the other lanes' sandboxes are at the ports behind it. 0 for any free ones,
  /// nil for none. Never in production: whoever connects sees and changes everything in the guest.
  public var debuggerPort: UInt16?
  /// Path of a guest image; nil for nub's own.
  public var guestPath: String?
  /// Threads that run sandboxes, one each.
  public var lanes: Int
  /// Sandboxes in all, at least one for each lane; nil for four for each lane. What lanes leave over waits for tenants: some
  /// warm and nobody's, the others with the state of the tenant that used them last, the longest unused of which goes first.
  public var maximumSandboxes: Int?
  /// Jobs that may be in the worker at once.
  public var maximumJobs = 4_096
  /// Bytes that those may hold.
  public var maximumJobBytes = 256 << 20
  /// Resident bytes of the process over which doors are closed and opened again, because libzmq bounds messages and not what is never
  /// finished; 0: never; nil: three quarters of the machine's, or of the control group's.
  public var maximumMemory: Int64?
  /// Largest body and largest cap in bytes.
  public var maximumBodyBytes = (16 << 20) + (64 << 10)
  /// Largest message in bytes, caps that come along with a call included.
  public var maximumMessageBytes = 64 << 20
  /// Jobs in one VM entry.
  public var batchJobs = 256
  /// Longest run time of a job, milliseconds; shorter ones are the producers' to choose.
  public var maximumRunMilliseconds: UInt32 = 60_000
  /// Guest heap in bytes, a multiple of 2 MiB.
  public var guestHeapBytes: UInt64 = 64 << 20
  /// How long a drain may take, milliseconds.
  public var drainMilliseconds = 30_000
  /// How long a thread that has work may make no step before the worker counts as stuck, milliseconds; lanes may take their longest
  /// job in addition.
  public var stallMilliseconds = 30_000
  /// Called with how the worker is: twice a second by a thread of its own, and at each change of phase by the thread that makes it.
  /// For a supervisor that wants to hear it.
  public var onHealth: (@Sendable (Health.Report) -> Void)?
  /// How long unsent replies are still delivered after the last of them was handed to ZeroMQ, milliseconds.
  public var lingerMilliseconds = 2_000
  /// Allows TCP endpoints off loopback without encryption.
  public var allowsInsecure = false
  /// Milliseconds between the fleet doors' heartbeats. The broker's must be similar (RFC 7).
  public var fleetHeartbeatMilliseconds: UInt64 = 2_500
  /// CURVE for TCP endpoints; nil for plaintext.
  public var curve: CurveConfiguration?
  /// For how long the door thread looks out for the answer of a lone job before it sleeps, microseconds; 0: not at all, as on a
  /// machine with one processor. See docs/decisions/0405.
  public var pollMicroseconds: UInt64 = 400
  public var logger = Logger(label: "nub.worker")

  public init(name: String, storePath: String, doors: [Door], lanes: Int = 2) {
    self.name = name
    self.storePath = storePath
    self.doors = doors
    self.lanes = lanes
  }

  /// - Throws: ``WorkerError`` with code `configuration`, whose message names the option.
  public func validate() throws(WorkerError) {
    func check(_ isGood: Bool, _ message: @autoclosure () -> String) throws(WorkerError) {
      guard isGood else { throw WorkerError(.configuration, message()) }
    }
    try check(
      !name.isEmpty && name.utf8.count <= 64, "name has \(name.utf8.count) bytes; 1 to 64 are allowed")
    try check(!doors.isEmpty, "there is no door: nothing could reach this worker")
    try check(doors.count <= 64, "\(doors.count) doors; at most 64 are allowed")
    try check(!storePath.isEmpty, "storePath is empty")
    try check((1...1_024).contains(lanes), "lanes is \(lanes); 1 to 1024 are allowed")
    if let debuggerPort {
      try check(engine == .kvm, "debuggerPort needs the engine kvm: there is no machine to debug")
      try check(
        debuggerPort == 0 || Int(debuggerPort) + lanes - 1 <= 65_535,
        "debuggerPort is \(debuggerPort); there is not a port behind it for each of \(lanes) lanes")
    }
    if let maximumSandboxes {
      try check(
        (lanes...100_000).contains(maximumSandboxes),
        "maximumSandboxes is \(maximumSandboxes); at least one for each of the \(lanes) lanes, at most 100000"
      )
    }
    try check((1...1 << 20).contains(maximumJobs), "maximumJobs is \(maximumJobs); 1 to 1048576 are allowed")
    try check(
      (1 << 20...1 << 40).contains(maximumJobBytes),
      "maximumJobBytes is \(maximumJobBytes); at least 1 MiB is needed")
    try check(
      (1 << 10...240 << 20).contains(maximumBodyBytes),
      "maximumBodyBytes is \(maximumBodyBytes); 1 KiB to 240 MiB are allowed")
    try check(
      maximumMessageBytes >= maximumBodyBytes && maximumMessageBytes <= 1 << 32,
      "maximumMessageBytes is \(maximumMessageBytes); maximumBodyBytes (\(maximumBodyBytes)) to 4 GiB are allowed"
    )
    try check((1...4_096).contains(batchJobs), "batchJobs is \(batchJobs); 1 to 4096 are allowed")
    try check(maximumRunMilliseconds >= 1, "maximumRunMilliseconds is 0")
    try check(
      (0...3_600_000).contains(drainMilliseconds),
      "drainMilliseconds is \(drainMilliseconds); at most an hour is allowed")
    try check(
      (0...600_000).contains(lingerMilliseconds),
      "lingerMilliseconds is \(lingerMilliseconds); at most ten minutes are allowed")
    try check(
      (1...3_600_000).contains(stallMilliseconds),
      "stallMilliseconds is \(stallMilliseconds); 1 to 3600000 are allowed")
    try check(
      pollMicroseconds <= 100_000, "pollMicroseconds is \(pollMicroseconds); at most 100000 are allowed")
    try validateFleets()
    for endpoint in endpoints {
      do throws(SecurityError) {
        try EndpointPolicy.check(
          endpoint.address, isEncrypted: curve?.encrypts(endpoint) ?? false, allowsInsecure: allowsInsecure)
      } catch {
        throw WorkerError(.configuration, error.message)
      }
    }
  }

  var hasPipelines: Bool {
    doors.contains { if case .pipeline = $0 { true } else { false } }
  }

  var endpoints: [Endpoint] {
    doors.flatMap { door in
      switch door {
      case .direct(let endpoint): [endpoint]
      case .pipeline(let jobs, let replies): [jobs, replies]
      case .fleet(let broker, _, _): [broker]
      }
    }
  }
}
