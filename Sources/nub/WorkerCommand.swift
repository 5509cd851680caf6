import ArgumentParser
import Logging
import NubConfiguration
import NubHTTP
import NubProcess
import NubWorker

struct WorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Run a worker until SIGTERM or SIGINT.",
    discussion: """
      Opens every door named; without one it serves tcp://127.0.0.1:7700. An endpoint is tcp://HOST:PORT, ipc://PATH; `@` \
      in front binds, `>` connects. The first SIGTERM or SIGINT drains: what was taken is finished, replies are sent, \
      exit status 0. The second ends at once.

      Each setting can be an option, a variable (--max-run is NUB_MAX_RUN) or a key of the file that --config names \
      ("max-run"); the first that has it wins.
      """)

  @OptionGroup var options: ConfigurationOptions<WorkerSettings>

  func run() throws {
    let configured = try options.configure()
    var configuration: WorkerConfiguration
    let worker: Worker
    let address: HTTPAddress?
    let registry: MetricsRegistry?
    do {
      configuration = try configured.root.makeConfiguration()
      if !options.printConfig { try ServiceManager.watch(&configuration) }
      address = try configured.root.http.check()
      registry = address.map { _ in configured.root.http.bootstrap() }
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
    var server: HTTPServer?
    if let address, let registry {
      let site = WorkerSite(worker: worker, configuration: configuration, registry: registry)
      server = try configured.root.http.serve(site, at: address, logger: configuration.logger)
    }
    defer { server?.stop() }
    do {
      try worker.run()
    } catch {
      throw CommandFailure("the worker cannot run: \(error)")
    }
  }
}
