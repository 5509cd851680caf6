import ArgumentParser
import Foundation
import NubConfiguration
import NubLifecycle

/// `nub worker ctl`: speaks to a worker that runs on this machine.
struct WorkerControlCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ctl", abstract: "Control a worker that runs on this machine as the same user.",
    discussion: """
      quiet: it takes nothing new until resume; what it has is finished. drain: it finishes what it has, and ends. \
      reload: it reads the authorized keys again. dump: it writes a core file of each guest that runs at this moment \
      into the folder that its --crash-dumps named, and goes on.

      The worker is found by the settings that it was started with: --store, or --control, as options, NUB_* variables or \
      in the file of --config. --json prints what is answered as JSON, a line for each worker. Exit status 69: nobody \
      is there.
      """)

  enum Verb: String, ExpressibleByArgument, CaseIterable {
    case status, quiet, resume, drain, reload, dump
  }

  @Argument(help: "status, quiet, resume, drain, reload or dump.")
  var verb: Verb = .status

  /// Where the worker is, the same settings say that it was started with.
  @ParentCommand var parent: WorkerCommand

  @Option(help: ArgumentHelp("Which worker, where a store has several.", valueName: "name or pid"))
  var worker: String?

  @Flag(help: "All workers of the store.")
  var all = false

  func run() throws {
    do {
      let settings = try parent.options.configure().root
      let place = try settings.controlPlace
      let client = ControlClient(place)
      let command = ControlCommand(rawValue: verb.rawValue) ?? .status
      var failure: ExitCode?
      for name in try choose(client, among: place) {
        do {
          let reply = try client.send(command, to: name)
          if let error = reply.error {
            failure = failure ?? ExitCode(1)
            Output.error("nub: \(reply.status.name): \(error)")
          }
          let isJSON = parent.options.json
          if reply.error == nil || isJSON { try Output.line(isJSON ? try jsonLine(reply) : text(reply)) }
        } catch let error as ControlError {
          // The others are told all the same.
          Output.error("nub: \(error)")
          failure = ExitCode(EndStatus.unreachable.rawValue)
        }
      }
      if let failure { throw failure }
    } catch let error as ControlError {
      Output.error("nub: \(error)")
      throw ExitCode(EndStatus.unreachable.rawValue)
    }
  }

  private func choose(_ client: ControlClient, among place: ControlPlace) throws -> [String] {
    let names = try client.workers()
    guard !names.isEmpty else { throw ControlError(.nobody, "no worker listens at \(place)") }
    if let worker {
      let matching = names.filter { name in
        // One that does not answer is not the one that is meant, as far as can be known.
        guard let status = try? client.send(.status, to: name).status else { return false }
        return status.name == worker || "\(status.pid)" == worker
      }
      guard !matching.isEmpty else { throw ControlError(.nobody, "no worker here is called \(worker)") }
      return matching
    }
    if names.count == 1 || all || verb == .status { return names }
    let known = names.compactMap { try? client.send(.status, to: $0).status.name }
    throw ControlError(
      .ambiguous,
      "\(names.count) workers share this store: say --all, or --worker with one of \(known.joined(separator: ", "))"
    )
  }

  private func text(_ reply: ControlReply) -> String {
    let status = reply.status
    if let note = reply.note, verb != .status {
      return "\(TerminalText.printable(status.name)): \(TerminalText.printable(note))"
    }
    var lines = [
      "\(TerminalText.printable(status.name)) \(status.phase), pid \(status.pid), \(status.ready ? "ready" : "not ready")"
    ]
    if !status.stuck.isEmpty { lines.append("  no progress: \(status.stuck.joined(separator: ", "))") }
    if let store = status.store { lines.append("  store: \(TerminalText.printable(store))") }
    if let sandboxes = status.sandboxes { lines.append("  sandboxes: \(TerminalText.printable(sandboxes))") }
    lines.append(
      "  \(status.lanesBusy) of \(status.lanes) lanes busy, \(status.waiting) jobs waiting, "
        + "\(status.inFlight) in flight")
    lines.append(
      "  \(status.succeeded) succeeded, \(status.failed) failed, \(status.duplicates) answered from the store"
    )
    if !status.endpoints.isEmpty {
      lines.append("  \(status.endpoints.map(TerminalText.printable).joined(separator: " "))")
    }
    return lines.joined(separator: "\n")
  }
}

/// `--control` of `nub worker`.
enum ControlSetting {
  static let off = "off"
  static let help =
    "Where `nub worker ctl` reaches this worker: a socket's path, or off. Default: beside the store."
}
