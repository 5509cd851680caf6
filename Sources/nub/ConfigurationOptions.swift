import ArgumentParser
import Foundation
import NubConfiguration

/// Settings that contradict each other; the command line's fault, exit status 64.
struct SettingConflict: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Where a command's settings come from: flags, `NUB_*`, a file, defaults.
struct ConfigurationOptions<Root: Configurable>: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A JSON file of settings, named like these options; options and NUB_* variables win. Default: NUB_CONFIG.",
      valueName: "file"), completion: .file())
  var config: String?

  @Flag(help: "Print each setting and where it comes from, and end.")
  var printConfig = false

  @Flag(help: "With --print-config: as JSON.")
  var json = false

  @OptionGroup var flags: SettingFlags<Root>

  /// For a command that runs; a subcommand has its own use for `--json`.
  func configureToRun() throws -> Configured<Root> {
    guard printConfig || !json else { throw ValidationError("--json goes with --print-config") }
    return try configure()
  }

  /// - Throws: `ValidationError` naming the setting that is refused.
  func configure() throws -> Configured<Root> {
    let environment = ProcessInfo.processInfo.environment
    do throws(SettingError) {
      try Environment.names.check(environment)
      return try Configurator<Root>(
        flags: flags.values, environment: environment, filePath: config ?? Environment.config
      ).configure()
    } catch {
      throw ValidationError(error.message)
    }
  }

  func print(_ configured: Configured<Root>) throws {
    if json {
      try Output.line(
        try jsonLine(
          Dictionary(uniqueKeysWithValues: configured.entries.map { ($0.key, PrintedSetting<Root>($0)) })))
      return
    }
    let name = configured.entries.map(\.key.count).max() ?? 0
    let value = min(40, configured.entries.map { PrintedSetting<Root>($0).text.count }.max() ?? 0)
    for entry in configured.entries {
      let text = PrintedSetting<Root>(entry).text
      try Output.line(
        entry.key.padding(toLength: name, withPad: " ", startingAt: 0) + "  "
          + text.padding(toLength: max(value, text.count), withPad: " ", startingAt: 0)
          + "  \(entry.source)")
    }
  }
}

/// A line of `--print-config`. Settings name files that hold secrets, never secrets.
private struct PrintedSetting<Root: Configurable>: Encodable {
  let entry: Configured<Root>.Entry

  init(_ entry: Configured<Root>.Entry) { self.entry = entry }

  var text: String {
    guard let value = entry.value, !value.description.isEmpty else { return "-" }
    return value.description
  }

  enum CodingKeys: CodingKey { case value, source }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch entry.value {
    case nil: try container.encodeNil(forKey: .value)
    case .text(let text): try container.encode(text, forKey: .value)
    case .integer(let number): try container.encode(number, forKey: .value)
    case .flag(let isOn): try container.encode(isOn, forKey: .value)
    case .list(let texts): try container.encode(texts, forKey: .value)
    }
    try container.encode("\(entry.source)", forKey: .source)
  }
}

extension Environment {
  static var config: String? { value("NUB_CONFIG") }

  /// What may be in the environment: every command's settings, since they share it, and what this project's tests and scripts
  /// read.
  static let names = EnvironmentNames(
    settings: ["NUB_CONFIG", "NUB_ENDPOINT", "NUB_STORE", "NUB_ENGINE"]
      + WorkerSettings.settings.map(\.environment) + BrokerSettings.settings.map(\.environment),
    tools: [
      "NUB_BIN", "NUB_CRASH_BIN", "NUB_TRY_SYSTEMD", "NUB_LONG_TESTS", "NUB_CRASHES", "NUB_SEED", "NUB_KEEP",
      "NUB_STORE_KILLS",
      "NUB_STORE_FAILPOINT", "NUB_STORE_CHECKPOINT", "NUB_WORKER_FAILPOINT",
    ])
}
