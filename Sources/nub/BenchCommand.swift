import ArgumentParser
import Foundation
import NubBench

/// `nub bench`: what this machine and this build can do, each figure with its baseline.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure this machine and this build, each figure with its baseline.",
    discussion: """
      Every figure is measured over several rounds in turn with its baseline; what is shown are medians, and the span of \
      the rounds. The baselines are C programs that ops/bench builds; without them there are no ratios. Stores are made \
      in the scratch folder, so that its disk is measured.
      """,
    subcommands: [Produce.self, Collect.self, Ask.self, Press.self, Put.self])

  @Option(help: "Measure this figure alone; may be given several times.")
  var only: [String] = []

  @Flag(help: "Print one JSON object: machine, and results.")
  var json = false

  @Option(parsing: .unconditional, help: "Rounds of each figure.")
  var rounds = 5

  @Option(parsing: .unconditional, help: "Multiplies the work of a round; less than 1 for a quick look.")
  var scale = 1.0

  @Option(help: "Folder of the C programs that ops/bench builds.")
  var baselines: String?

  @Option(help: "Folder for stores and sockets.")
  var scratch = NSTemporaryDirectory()

  @Option(help: ArgumentHelp("The nub program to measure.", visibility: .hidden))
  var nub: String?

  @Flag(help: "List the figures' names.")
  var list = false

  func validate() throws {
    guard rounds >= 1, rounds <= 1_000 else {
      throw ValidationError("--rounds is \(rounds); 1 to 1000 are allowed")
    }
    guard scale > 0, scale <= 1_000 else {
      throw ValidationError("--scale is \(scale); above 0, at most 1000")
    }
  }

  func run() throws {
    if list { return print(Bench.names.joined(separator: "\n")) }
    let program = try nub ?? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let bench = Bench(
      nub: program, baselines: baselines, only: only, rounds: rounds, scale: scale, scratch: scratch)
    let machine = MachineFacts(scratch: scratch)
    let console = FileHandle.standardError
    func say(_ line: String) { console.write(Data((line + "\n").utf8)) }
    say(machine.summary)
    if baselines == nil {
      say("without --baselines there are no ratios; ops/bench builds the baselines and runs this")
    }
    let (results, failures) = try bench.run(progress: say)
    let report = BenchReport(machine: machine, results: results)
    if json {
      FileHandle.standardOutput.write(try report.json())
      print()
    } else {
      print(report.table())
    }
    if !failures.isEmpty {
      say("not measured: \(failures.joined(separator: ", "))")
      throw ExitCode.failure
    }
  }
}

/// How the jobs look that the hidden subcommands send.
struct ShapeOptions: ParsableArguments {
  @Option var payload = 64
  @Option var tenants = 1
  @Flag var randomIds = false

  var shape: Load.Shape { Load.Shape(payloadBytes: payload, hasRandomIDs: randomIds, tenants: tenants) }
}

extension BenchCommand {
  struct Produce: ParsableCommand {
    static let configuration = CommandConfiguration(shouldDisplay: false)
    @Argument var endpoint: String
    @Option var count: Int
    @Option var until: Int32 = 0
    @OptionGroup var shape: ShapeOptions

    func run() throws { try Load.produce(to: endpoint, count: count, shape: shape.shape, until: until) }
  }

  struct Collect: ParsableCommand {
    static let configuration = CommandConfiguration(shouldDisplay: false)
    @Argument var endpoint: String
    @Option var count: Int
    @Option var skip = 0
    @Option var window = 1
    @Option var payload = 64
    @Option var watch: Int32 = 0

    func run() throws {
      try Load.collect(
        from: endpoint, count: count, skip: skip, window: window, payloadBytes: payload, watched: watch)
    }
  }

  struct Ask: ParsableCommand {
    static let configuration = CommandConfiguration(shouldDisplay: false)
    @Argument var endpoint: String
    @Option var count: Int
    @Option var skip = 0
    @Option var window = 1
    @Option var watch: Int32 = 0
    @OptionGroup var shape: ShapeOptions

    func run() throws {
      try Load.ask(
        endpoint, count: count, skip: skip, window: window, shape: shape.shape, watched: watch)
    }
  }

  struct Press: ParsableCommand {
    static let configuration = CommandConfiguration(shouldDisplay: false)
    @Argument var endpoint: String
    @Option var rate: Double
    @OptionGroup var shape: ShapeOptions

    func run() throws { try Load.press(endpoint, rate: rate, shape: shape.shape) }
  }

  struct Put: ParsableCommand {
    static let configuration = CommandConfiguration(shouldDisplay: false)
    @Argument var endpoint: String
    @Option var count: Int
    @Option var bytes = 65_536
    @Option var window = 64

    func run() throws { try Load.put(endpoint, count: count, bytes: bytes, window: window) }
  }
}
