import ArgumentParser
import NubStore

/// The subcommands that change what is stored.
extension ResultsCommand {
  struct Prune: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "prune", abstract: "Remove finished jobs.")

    @OptionGroup var jobs: Jobs

    @Flag(help: "Say how many would go, and remove none.")
    var dryRun = false

    @Flag(help: "Without any filter: every finished job.")
    var all = false

    func validate() throws {
      if jobs.filter.isEmpty, !all {
        throw ValidationError("name which jobs, for example --until 30d; or --all")
      }
    }

    func run() throws {
      let count = try jobs.store.openForChanges().prune(jobs.filter.make(), dryRun: dryRun) { count in
        Output.progress("\(count) \(dryRun ? "found" : "removed")")
        return true
      }
      Output.endProgress()
      try Output.line(dryRun ? "\(count) would be removed" : "\(count) removed")
    }
  }

  struct Retry: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "retry", abstract: "Run failed jobs again, where their request was kept.")

    @OptionGroup var jobs: Jobs

    @Argument(help: "A job's id; without one, every failed job that matches the filters.")
    var id: String?

    @Flag(help: "Say what would be done, and do nothing.")
    var dryRun = false

    func validate() throws {
      if id == nil { return }
      var others = jobs.filter
      others.tenant = nil
      if !others.isEmpty { throw ValidationError("with a job's id no filter but --tenant has a meaning") }
    }

    func run() throws {
      let maintenance = try jobs.store.openForChanges()
      let (retried, without) =
        if let id {
          try maintenance.retry(jobID: try failedJob(id), tenant: jobs.filter.tenant, dryRun: dryRun)
        } else {
          try maintenance.retry(jobs.filter.make(), dryRun: dryRun)
        }
      try Output.line(
        "\(retried) \(dryRun ? "would be " : "")queued again; \(without) have no request that was kept")
      if id != nil, retried == 0 { throw ExitCode(1) }
    }

    private func failedJob(_ text: String) throws -> [UInt8] {
      let found = try jobs.store.open().jobs(named: text, tenant: jobs.filter.tenant)
      guard let failed = found.first(where: { $0.row.status != 0 }) else {
        throw CommandFailure("job \(text) has succeeded; only failed jobs are run again")
      }
      return failed.row.jobID
    }
  }

  struct Forget: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "forget", abstract: "Remove a job's result, so that the same message is new again.")

    @OptionGroup var job: Job

    @Flag(help: "Say how many would go, and remove none.")
    var dryRun = false

    func run() throws {
      let maintenance = try job.store.openForChanges()
      var count = 0
      for id in JobIDText.readings(job.id) where count == 0 {
        count = try maintenance.forget(jobID: id, tenant: job.tenant, dryRun: dryRun)
      }
      try Output.line(dryRun ? "\(count) would be forgotten" : "\(count) forgotten")
      if count == 0 { throw ExitCode(1) }
    }
  }
}
