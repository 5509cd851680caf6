import ArgumentParser

@main
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
