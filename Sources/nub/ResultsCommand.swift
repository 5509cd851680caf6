import ArgumentParser
import Foundation
import NubStore

struct ResultsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "results", abstract: "Look at finished jobs, while workers run or not.",
    subcommands: [List.self, Show.self, Stats.self, Export.self, Prune.self, Retry.self, Forget.self],
    defaultSubcommand: List.self)

  /// Which jobs.
  struct Filter: ParsableArguments {
    @Option(help: "Of this tenant; an empty text is the tenant without a name.")
    var tenant: String?

    @Option(
      help: "With this status, by number or name. Repeatable.",
      transform: { text in
        guard let number = Names.number(text, in: Names.statuses).flatMap({ UInt32(exactly: $0) }) else {
          throw ValidationError("a number, or one of \(Names.statuses.map(\.1).joined(separator: ", "))")
        }
        return number
      })
    var status: [UInt32] = []

    @Flag(help: "With a status other than ok.")
    var failed = false

    @Option(help: "In this state: succeeded, failed, cancelled or quarantined.")
    var state: String?

    @Option(help: "With this verb.")
    var verb: String?

    @Option(help: "Of this guest function, by name or number.")
    var function: String?

    @Option(help: "Run by this worker.")
    var worker: String?

    @Option(
      parsing: .unconditional,
      help: "Finished since: ISO time, Unix seconds, or an age such as 15m, 2h, 7d.",
      transform: TimeText.parse)
    var since: Int64?

    @Option(
      parsing: .unconditional, help: "Finished before: the same forms.", transform: TimeText.parse)
    var until: Int64?

    func validate() throws {
      try Names.check(state, in: Names.states, of: "--state")
      try Names.check(verb, in: Names.verbs, of: "--verb")
    }

    func make() -> ResultFilter {
      var filter = ResultFilter()
      filter.tenant = tenant
      filter.onlyFailures = failed
      filter.state = state
      filter.verb = verb
      filter.function = function
      filter.worker = worker
      filter.statuses = status
      filter.since = since
      filter.until = until
      return filter
    }

    var isEmpty: Bool {
      tenant == nil && status.isEmpty && !failed && state == nil && verb == nil && function == nil
        && worker == nil
        && since == nil && until == nil
    }
  }

  /// Jobs of a store.
  struct Jobs: ParsableArguments {
    @OptionGroup var store: StoreArguments
    @OptionGroup var filter: Filter
  }

  /// One job of a store, or those of several tenants that have the same id.
  struct Job: ParsableArguments {
    @OptionGroup var store: StoreArguments

    @Argument(help: "The job's id, as text or in hexadecimal digits, with or without 0x.")
    var id: String

    @Option(help: "Of this tenant; without it, of all.")
    var tenant: String?
  }

  static var printer: RowPrinter<ResultRow> {
    RowPrinter(columns: [
      .init(title: "finished") { TimeText.encode($0.finishedMilliseconds) },
      .init(title: "job", shortensTo: 18) { JobIDText.encode($0.jobID) },
      .init(title: "tenant") { $0.tenant },
      .init(title: "verb", isForPrograms: true) { $0.verb },
      .init(title: "function") { $0.function },
      .init(title: "status") { $0.statusName },
      .init(title: "guest_status", alignsRight: true, isForPrograms: true) {
        $0.guestStatus.map { "\($0)" } ?? ""
      },
      .init(title: "bytes", alignsRight: true) { $0.resultBytes.map { "\($0)" } ?? "" },
      .init(title: "attempts", alignsRight: true, isForPrograms: true) { "\($0.attempts)" },
      .init(title: "queued_us", alignsRight: true) { "\($0.queuedMicroseconds)" },
      .init(title: "run_us", alignsRight: true) { "\($0.runMicroseconds)" },
      .init(title: "worker", isForPrograms: true) { $0.worker },
      .init(title: "engine", isForPrograms: true) { $0.engine },
      .init(title: "accepted", isForPrograms: true) { TimeText.encode($0.acceptedMilliseconds) },
      .init(title: "message", isCut: true, takesRest: true) { $0.message ?? "" },
    ])
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "list", abstract: "Finished jobs, the newest first.")

    @OptionGroup var jobs: Jobs
    @OptionGroup var page: PageOptions

    @Option(help: "Order: \(ResultOrder.allCases.map(\.rawValue).joined(separator: ", ")).")
    var sort = ResultOrder.allCases[0].rawValue

    func validate() throws {
      if ResultOrder(rawValue: sort)?.isRanking == true, page.after != nil {
        throw ValidationError("--after goes with newest and oldest: a ranking is one page of --limit rows")
      }
    }

    func run() throws {
      guard let order = ResultOrder(rawValue: sort) else {
        throw ValidationError(
          "--sort is \(sort); one of \(ResultOrder.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      try page.print(
        try jobs.store.open().results(
          jobs.filter.make(), order: order, limit: page.limit, after: try page.cursor(),
          budget: .milliseconds(100)), with: printer)
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "One job, whole.")

    @OptionGroup var job: Job

    @Flag(help: "One JSON object.")
    var json = false

    @Flag(help: "Only the result's bytes, to standard output.")
    var body = false

    func run() throws {
      for detail in try job.store.open().jobs(named: job.id, tenant: job.tenant) {
        if body {
          try Output.write(detail.result ?? [])
        } else if json {
          var object = printer.object(detail.row)
          for (name, value) in extras(detail) { object[name] = .text(value) }
          try Output.line(try jsonLine(object))
        } else {
          let rows = printer.columns.map { ($0.title, $0.text(detail.row)) } + extras(detail)
          for (name, value) in rows where !value.isEmpty {
            let shown =
              name == "result" && value.count > 128 ? "\(value.prefix(128))… (--body for all)" : value
            // A message with a line break in it could pass for a field of its own.
            try Output.line(
              "\(name.padding(toLength: 13, withPad: " ", startingAt: 0))\(TerminalText.printable(shown))")
          }
        }
      }
    }

    /// A job as `show` prints it: the columns, and what only one job has room for.
    private func extras(_ detail: ResultDetail) -> [(String, String)] {
      [
        ("digest", Hex.encode(detail.digest)), ("can_retry", detail.canRetry ? "yes" : "no"),
        ("result", detail.result.map { Hex.encode($0) } ?? ""),
      ]
    }
  }

  struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "stats", abstract: "Counts and sizes.")

    @OptionGroup var store: StoreArguments

    @Flag(help: "One JSON object.")
    var json = false

    @Option(parsing: .unconditional, help: "Show the throughput of this many minutes.")
    var minutes = 5

    func validate() throws {
      guard (1...10_000).contains(minutes) else {
        throw ValidationError("--minutes is \(minutes); 1 to 10000")
      }
    }

    func run() throws {
      let queries = try store.open()
      let statistics = try queries.statistics()
      if json { return try Output.line(try jsonLine(statistics)) }
      try Output.line("jobs         \(statistics.jobs)")
      for (name, count) in statistics.jobsByStatus.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
        try Output.line("  \(name.padding(toLength: 19, withPad: " ", startingAt: 0)) \(count)")
      }
      try Output.line(
        "pending      \(statistics.pendingJobs) in \(statistics.pendingBatches) journal batches")
      try Output.line(
        "caps         \(statistics.caps), \(statistics.capBytes) bytes, \(statistics.capPuts) puts, \(statistics.capSkips) skipped"
      )
      try Output.line("tenants      \(statistics.tenants)")
      try Output.line(
        "live workers \(statistics.liveWorkers.isEmpty ? "none" : TerminalText.printable(statistics.liveWorkers.joined(separator: ", ")))"
      )
      try Output.line(
        "file         \(statistics.fileBytes) bytes, \(statistics.freeBytes) free, log \(statistics.logBytes)"
      )
      let throughput = try queries.throughput(minutes: minutes)
      guard !throughput.isEmpty else { return }
      try Output.line("")
      try RowPrinter<ThroughputRow>(columns: [
        .init(title: "minute") { $0.minute }, .init(title: "jobs", alignsRight: true) { "\($0.jobs)" },
        .init(title: "ok", alignsRight: true) { "\($0.succeeded)" },
        .init(title: "failed", alignsRight: true) { "\($0.failed)" },
        .init(title: "queued_us", alignsRight: true) { "\($0.meanQueuedMicroseconds)" },
        .init(title: "run_us", alignsRight: true) { "\($0.meanRunMicroseconds)" },
      ]).print(throughput, as: .table)
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "export", abstract: "Every matching job to standard output, as JSON lines or CSV.")

    @OptionGroup var jobs: Jobs
    @OptionGroup var format: FormatOptions

    func run() throws {
      let queries = try jobs.store.open()
      let filter = jobs.filter.make()
      let format = format.format == .csv ? FormatOptions.Format.csv : .json
      var cursor: PageCursor?
      var count = 0
      repeat {
        let page = try queries.results(
          filter, order: .newest, limit: 5_000, after: cursor, budget: .milliseconds(500))
        try printer.print(page.rows, as: format, header: count == 0)
        count += page.rows.count
        cursor = page.next
        Output.progress("\(count) jobs")
      } while cursor != nil
      Output.endProgress()
    }
  }
}
