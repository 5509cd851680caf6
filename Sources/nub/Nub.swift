import ArgumentParser
import Dispatch

struct Nub: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "nub",
    abstract: "A message-queue worker that executes jobs in KVM micro-VMs.",
    discussion: """
      Start a worker with `nub worker`, then send it caps and calls:
        nub put README.md
        nub call sha256 --data hello --format hex
      Without --endpoint, worker and clients use tcp://127.0.0.1:7700.
      """,
    version: version,
    subcommands: [
      WorkerCommand.self, BrokerCommand.self, KeygenCommand.self, PingCommand.self, PutCommand.self,
      HashCommand.self, CallCommand.self, ResultsCommand.self, CapsCommand.self, CapCommand.self,
      GuestCommand.self, BenchCommand.self, DoctorCommand.self,
    ])
}

/// A command whose process gives up rights before it does anything else.
protocol ConfinedCommand {
  /// On the main thread, while it is the only one.
  func confine() throws
}

/// `AsyncParsableCommand.main()`, with a moment in between while there is one thread: afterwards the main thread waits in
/// `dispatch_main()`, where nothing can change its user any more.
@main
enum Program {
  static func main() {
    do {
      let command = try Nub.parseAsRoot()
      do {
        try (command as? any ConfinedCommand)?.confine()
      } catch {
        end(command, error)
      }
      run(Handover(command: command))
    } catch {
      Nub.exit(withError: error)
    }
  }

  /// Carries the command to the task that runs it.
  private struct Handover: @unchecked Sendable {
    // The main thread made it, and only waits from then on.
    let command: any ParsableCommand
  }

  private static func run(_ handover: Handover) -> Never {
    Task {
      var command = handover.command
      do {
        if var asynchronous = command as? any AsyncParsableCommand {
          try await asynchronous.run()
        } else {
          try command.run()
        }
        Nub.exit()
      } catch {
        end(command, error)
      }
    }
    dispatchMain()
  }

  /// What a command finds wrong with its settings when it runs; the parser would point to the help of `nub` as a whole.
  private static func end(_ command: any ParsableCommand, _ error: any Error) -> Never {
    guard let error = error as? ValidationError else { Nub.exit(withError: error) }
    let name = path(to: type(of: command), from: Nub.self) ?? "nub"
    Output.error("Error: \(error.message)\n  See '\(name) --help' for more information.")
    Nub.exit(withError: ExitCode.validationFailure)
  }

  private static func path(
    to command: any ParsableCommand.Type, from root: any ParsableCommand.Type
  ) -> String? {
    let name = root.configuration.commandName ?? ""
    if command == root { return name }
    for child in root.configuration.subcommands {
      if let rest = path(to: command, from: child) { return "\(name) \(rest)" }
    }
    return nil
  }
}
