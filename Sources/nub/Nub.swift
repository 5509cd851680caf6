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
      try (command as? any ConfinedCommand)?.confine()
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
        Nub.exit(withError: error)
      }
    }
    dispatchMain()
  }
}
