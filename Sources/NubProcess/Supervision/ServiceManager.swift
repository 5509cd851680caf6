internal import CNubProcess
internal import Glibc
public import Logging
internal import Synchronization

/// The service manager that started this process, if one did and wants to hear from it (systemd, Type=notify).
///
/// Tell it with ``look(_:)`` how things are, at least twice a second and at each change, and it hears what it has to hear:
/// READY, STOPPING, STATUS, and WATCHDOG only while there is progress.
public final class ServiceManager: Sendable {
  private let socket: Int32
  private let address: [UInt8]
  private let conversation: Mutex<ServiceConversation>
  private let failure = Mutex<Int32>(0)
  private let logger: Logger

  /// Takes the manager's variables out of the environment, so that no child speaks in this process's name. Call it once,
  /// before anything else reads the environment.
  ///
  /// - Returns: nil where nobody listens.
  public static func fromEnvironment(logger: Logger) throws(ProcessError) -> ServiceManager? {
    var environment: [String: String] = [:]
    for name in SupervisorEnvironment.variables {
      if let value = getenv(name) { environment[name] = String(cString: value) }
      unsetenv(name)
    }
    guard let found = try SupervisorEnvironment(environment, process: getpid()) else { return nil }
    return try ServiceManager(found, logger: logger)
  }

  init(_ environment: SupervisorEnvironment, logger: Logger) throws(ProcessError) {
    socket = try ProcessError.check(nub_notify_open(), "cannot talk to the service manager")
    address = environment.address
    conversation = Mutex(ServiceConversation(watchdog: environment.watchdog))
    self.logger = logger
    if let watchdog = environment.watchdog, watchdog < 2_000_000 {
      logger.warning(
        "the service manager's watchdog is too short: progress is looked at twice a second",
        metadata: ["WatchdogSec": "\(Double(watchdog) / 1e6)", "least": "2"])
    }
  }

  deinit { close(socket) }

  /// From any thread.
  public func look(_ report: ServiceReport) {
    // Sent inside, so that messages leave in the order of the looks.
    conversation.withLock { conversation in
      let before = conversation
      // What was not heard is said again at the next look: READY above all, for which a manager waits and then kills.
      if let message = conversation.look(report, now: Self.microseconds), !send(message) {
        conversation = before
      }
    }
  }

  /// Reads settings or keys anew, and says so before and after: not before it is ready, and not any more when it stops.
  public func reload(_ body: () -> Void) {
    conversation.withLock { if $0.isUp { send("RELOADING=1\nMONOTONIC_USEC=\(Self.microseconds)") } }
    body()
    conversation.withLock { if $0.isUp { send("READY=1") } }
  }

  /// - Returns: whether the manager has it.
  @discardableResult
  private func send(_ message: String) -> Bool {
    let result = Array(message.utf8).withUnsafeBytes { bytes in
      address.withUnsafeBytes { address in
        nub_notify_send(
          socket, address.baseAddress?.assumingMemoryBound(to: CChar.self), address.count, bytes.baseAddress,
          bytes.count)
      }
    }
    let before = failure.withLock { failure in
      defer { failure = min(0, result) }
      return failure
    }
    // A manager that is gone is noted once, not twice a second.
    if result < 0, before != result {
      logger.warning(
        "the service manager does not hear", metadata: ["error": "\(String(cString: strerror(-result)))"])
    }
    return result >= 0
  }

  private static var microseconds: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
  }
}
