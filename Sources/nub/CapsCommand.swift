import ArgumentParser
import Foundation
import NubCap
import NubStore

struct CapsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "caps", abstract: "Look at stored caps.",
    subcommands: [List.self, Show.self, Verify.self, Collect.self], defaultSubcommand: List.self)

  static var printer: RowPrinter<CapRow> {
    RowPrinter(columns: [
      .init(title: "hash", shortensTo: 16) { $0.hash },
      .init(title: "kind") { $0.kind },
      .init(title: "size", alignsRight: true) { "\($0.size)" },
      .init(title: "puts", alignsRight: true) { "\($0.puts)" },
      .init(title: "skips", alignsRight: true) { "\($0.skips)" },
      .init(title: "complete", isForPrograms: true) { $0.isIncomplete ? "no" : "yes" },
      .init(title: "first_put", isForPrograms: true) { TimeText.encode($0.firstPutMilliseconds) },
      .init(title: "last_used") { TimeText.encode($0.lastUsedMilliseconds) },
    ])
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Caps, the newest first.")

    @OptionGroup var store: StoreArguments
    @OptionGroup var page: PageOptions

    @Option(help: "Of this kind: data, cnode, image, instance or type.")
    var kind: String?

    @Option(help: "That this tenant may see.")
    var tenant: String?

    @Option(
      help: "Not used since: ISO time, Unix seconds, or an age such as 30d.", transform: TimeText.parse)
    var unusedSince: Int64?

    @Flag(help: "That refer to caps which the store does not have (`nub caps show` names them).")
    var incomplete = false

    func validate() throws { try Names.check(kind, in: Names.capKinds, of: "--kind") }

    func run() throws {
      var filter = CapFilter()
      filter.onlyIncomplete = incomplete
      filter.kind = kind
      filter.tenant = tenant
      filter.unusedSince = unusedSince
      try page.print(
        try store.open().caps(
          filter, limit: page.limit, after: try page.cursor(), budget: .milliseconds(100)), with: printer)
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "One cap and what it refers to.")

    @OptionGroup var store: StoreArguments

    @Argument(help: "The cap's hash, 64 hexadecimal digits.")
    var hash: String

    @Flag(help: "One JSON object.")
    var json = false

    @Flag(help: "Only the wire form, to standard output (see `nub cap decode`).")
    var wire = false

    func run() throws {
      guard let key = CapHash(hex: hash) else {
        throw ValidationError("\(hash) is not 64 hexadecimal digits")
      }
      let queries = try store.open()
      if wire {
        guard let bytes = try queries.capBytes(key) else { throw CommandFailure("there is no cap \(hash)") }
        return try Output.write(bytes)
      }
      guard let detail = try queries.cap(key) else { throw CommandFailure("there is no cap \(hash)") }
      if json { return try Output.line(try jsonLine(detail)) }
      for column in printer.columns {
        try Output.line(
          "\(column.title.padding(toLength: 12, withPad: " ", startingAt: 0))\(column.text(detail.row))")
      }
      try Output.line(
        "tenants     \(detail.tenants.map { $0.isEmpty ? "(none)" : TerminalText.printable($0) }.joined(separator: ", "))"
      )
      try Output.line("referred by \(detail.referredBy)")
      for reference in detail.references {
        try Output.line("refers to   \(reference.hash)\(reference.isPresent ? "" : "  MISSING")")
      }
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "verify", abstract: "Hash every stored cap anew and check the file.",
      discussion: "Exit status 1 where something is damaged.")

    @OptionGroup var store: StoreArguments

    func run() throws {
      let queries = try store.open()
      // For the bar alone: a damaged file may have no statistics, and is looked at all the same.
      let all = (try? queries.statistics()).map { Int($0.caps) }
      var cursor: PageCursor?
      var checked = 0
      var bytes: Int64 = 0
      var damaged = 0
      var problems: [String] = []
      repeat {
        let part = try queries.verifyCaps(after: cursor, bytes: 16 << 20)
        checked += part.checked
        bytes += part.checkedBytes
        damaged += part.damaged.count
        for hash in part.damaged { try Output.line("damaged \(hash.hex)") }
        problems += part.problems
        cursor = part.next
        Output.progress(bar(checked, of: all ?? checked, bytes: bytes))
      } while cursor != nil
      Output.endProgress()
      problems += try queries.integrityProblems()
      for problem in problems { try Output.line("file: \(TerminalText.printable(problem))") }
      try Output.line(
        "\(checked) caps, \(bytes) bytes checked; \(damaged) damaged; the file \(problems.isEmpty ? "is sound" : "is damaged")"
      )
      if damaged > 0 || !problems.isEmpty { throw ExitCode(1) }
    }

    private func bar(_ done: Int, of all: Int, bytes: Int64) -> String {
      let width = 30
      let filled = all > 0 ? min(width, done * width / all) : width
      return "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
        + "] \(done)/\(all) caps, \(bytes >> 20) MiB"
    }
  }

  struct Collect: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "gc", abstract: "Remove caps that nothing refers to and nobody used for a while.")

    @OptionGroup var store: StoreArguments

    @Option(
      help: "Unused since: ISO time, Unix seconds, or an age. (default: 30d)", transform: TimeText.parse)
    var unusedSince: Int64?

    @Flag(help: "Say how many would go, and remove none.")
    var dryRun = false

    func run() throws {
      let limit = try unusedSince ?? TimeText.parse("30d")
      let (caps, bytes) = try store.openForChanges().collectCaps(unusedSince: limit, dryRun: dryRun) {
        count in
        Output.progress("\(count) caps")
        return true
      }
      Output.endProgress()
      try Output.line("\(caps) caps, \(bytes) bytes \(dryRun ? "would be " : "")removed")
    }
  }
}
