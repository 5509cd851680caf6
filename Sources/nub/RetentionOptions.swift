import ArgumentParser
import NubWorker

/// How long a worker's store keeps things. Defaults are those of ``Retention``.
struct RetentionOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Keep results of status ok this long; then their job ids are new again. Default: 7d.", valueName: "age")
  )
  var keepResults: String?

  @Option(help: ArgumentHelp("Keep results of any other status this long. Default: 30d.", valueName: "age"))
  var keepFailures: String?

  @Option(
    help: ArgumentHelp(
      "Keep the requests of failed jobs, for `nub results retry`, this long. Default: 7d.", valueName: "age"))
  var keepBodies: String?

  @Option(
    help: ArgumentHelp(
      "Keep caps this long after their last use, unless another cap refers to them. Default: 30d.",
      valueName: "age"))
  var keepCaps: String?

  func apply(to retention: inout Retention) throws(WorkerError) {
    if let keepResults { retention.results = try Retention.age(keepResults, option: "--keep-results") }
    if let keepFailures { retention.failures = try Retention.age(keepFailures, option: "--keep-failures") }
    if let keepBodies { retention.bodies = try Retention.age(keepBodies, option: "--keep-bodies") }
    if let keepCaps { retention.caps = try Retention.age(keepCaps, option: "--keep-caps") }
  }
}
