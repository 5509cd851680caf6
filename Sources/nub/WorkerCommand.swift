import ArgumentParser
import Logging
import NubConfiguration
import NubHTTP
import NubLifecycle
import NubProcess
import NubWorker
import ServiceLifecycle

struct WorkerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Run a worker until SIGTERM or SIGINT, or control one that runs.",
    discussion: """
      Opens every door named; without one it serves tcp://127.0.0.1:7700. An endpoint is tcp://HOST:PORT, ipc://PATH; `@` \
      in front binds, `>` connects. The first SIGTERM or SIGINT drains: what was taken is finished, replies are sent, \
      exit status 0. The second ends at once, exit status 75. SIGHUP reads the authorized keys again.

      Each setting can be an option, a variable (--max-run is NUB_MAX_RUN) or a key of the file that --config names \
      ("max-run"); the first that has it wins.
      """, subcommands: [WorkerControlCommand.self])

  @OptionGroup var options: ConfigurationOptions<WorkerSettings>

  func run() async throws {
    let configured = try options.configureToRun()
    let settings = configured.root
    var configuration: WorkerConfiguration
    let worker: Worker
    let address: HTTPAddress?
    let registry: MetricsRegistry?
    let manager: ServiceManager?
    do {
      configuration = try settings.makeConfiguration()
      manager = options.printConfig ? nil : try ServiceManager.watch(&configuration)
      address = try settings.http.check()
      registry = address.map { _ in settings.http.bootstrap() }
      worker = try Worker(configuration)
    } catch let error as WorkerError {
      throw ValidationError(error.description)
    } catch let error as SettingConflict {
      throw ValidationError(error.description)
    }
    if options.printConfig { return try options.print(configured) }
    if configuration.engine == .inprocess {
      configuration.logger.warning(
        "engine inprocess: guest code runs in this process WITHOUT isolation; for development only")
    }
    var services = ProcessServices(logger: configuration.logger)
    services.signals = await ProcessSignals(
      within: .milliseconds(configuration.drainMilliseconds), drain: { worker.shutdown() },
      stop: { worker.stop() }, reload: { manager.reload { worker.reloadKeys() } })
    if let address, let registry {
      let site = WorkerSite(worker: worker, configuration: configuration, registry: registry)
      services.http = settings.http.server(site, at: address, logger: configuration.logger)
    }
    services.control = try settings.makeControl(of: worker, configuration)
    do {
      try await services.run(named: "the worker") { prelude in BlockingService(worker, after: prelude) }
    } catch {
      services.control?.withdraw()
      throw error
    }
  }
}
