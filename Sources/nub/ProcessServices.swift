import ArgumentParser
import Logging
import NubHTTP
import NubLifecycle
import ServiceLifecycle

/// What runs in a worker's or broker's process, as one group. It ends when the worker or broker does, and that is told to end by
/// signals or by its operator; the others end after it, so that probes, metrics and `nub worker ctl` answer while it drains.
struct ProcessServices {
  var signals: ProcessSignals?
  var http: HTTPServer?
  var control: ControlServer?
  let logger: Logger

  init(logger: Logger) { self.logger = logger }

  /// - Parameters:
  ///   - name: for the message, if it ends with an error.
  ///   - main: makes the service that all of this is about, which begins after what it is given.
  /// - Throws: `ExitCode`, an ``EndStatus``; the reason is on standard error then.
  func run(
    named name: String, _ main: (_ after: @escaping @Sendable () async throws -> Void) -> BlockingService
  ) async throws {
    let http = http
    var services: [any Service] = []
    if let signals { services.append(signals) }
    if let http { services.append(http) }
    if let control { services.append(BlockingService(control)) }
    services.append(main { _ = try await http?.address() })
    var quiet = logger
    quiet.logLevel = max(.error, logger.logLevel)
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: services.map {
          ServiceGroupConfiguration.ServiceConfiguration(
            service: $0, successTerminationBehavior: .gracefullyShutdownGroup,
            failureTerminationBehavior: .gracefullyShutdownGroup)
        }, logger: quiet))
    do {
      try await group.run()
    } catch {
      Output.error("nub: \(name) cannot run: \(error)\(Advice.after(error))")
      throw ExitCode(EndStatus(error).rawValue)
    }
    if signals?.wasForced == true { throw ExitCode(EndStatus.forced.rawValue) }
  }
}
