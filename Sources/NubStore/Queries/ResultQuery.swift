internal import GRDB

/// Turns a filter into SQL over the tables. Words become numbers first, so that rows are compared as integers.
struct ResultQuery {
  private(set) var conditions: [String] = []
  private(set) var arguments: [any DatabaseValueConvertible] = []
  /// The index that finds the filter's rows in the order of recording; nil to go through all rows.
  private(set) var index: String?
  /// No job before this number, or behind that one, finished at the time that is asked for.
  private(set) var first = Int64.min
  private(set) var last = Int64.max
  /// Something in the filter is unknown to this store: no row can match.
  private(set) var isEmpty = false
  /// The one tenant whose jobs are meant.
  private(set) var tenant: Int64?

  init(_ filter: ResultFilter, _ db: Database) throws {
    try addTenant(filter, db)
    try addOutcome(filter)
    if let verb = filter.verb {
      guard let number = Names.number(verb, in: Names.verbs) else {
        throw StoreError(.misuse, "no such verb: \(verb)")
      }
      add("j.verb = ?", number)
    }
    if let function = filter.function {
      if let number = Int64(function) {
        add("j.function = ?", number)
      } else {
        // Names belong to images: an id may mean one function in one image and another in the next.
        add("(j.image, j.function) IN (SELECT image, function FROM functions WHERE name = ?)", function)
      }
    }
    if let worker = filter.worker {
      add("j.worker IN (SELECT worker FROM workers WHERE name = ?)", worker)
    }
    if let since = filter.since {
      add("j.finished_ms >= ?", since)
      first = try SequenceSearch.firstJob(
        finishedSince: FileNumber.clamped(since) - SequenceSearch.slackMilliseconds, db)
    }
    if let until = filter.until {
      add("j.finished_ms < ?", until)
      last = try SequenceSearch.firstJob(
        finishedSince: FileNumber.clamped(until) + SequenceSearch.slackMilliseconds, db)
    }
  }

  private mutating func addTenant(_ filter: ResultFilter, _ db: Database) throws {
    guard let name = filter.tenant else { return }
    guard
      let tenant = try Int64.fetchOne(db, sql: "SELECT tenant FROM tenants WHERE name = ?", arguments: [name])
    else {
      isEmpty = true
      return
    }
    add("j.tenant = ?", tenant)
    self.tenant = tenant
  }

  private mutating func addOutcome(_ filter: ResultFilter) throws {
    var isFailure = filter.onlyFailures
    if let state = filter.state {
      guard let number = Names.number(state, in: Names.states) else {
        throw StoreError(.misuse, "no such state: \(state)")
      }
      // As statuses, which the index of failures holds.
      switch number {
      case 1: conditions.append("j.status = 0")
      case 3: conditions.append("j.status = 6")
      case 4: conditions.append("j.status = 13")
      default: conditions.append("j.status NOT IN (0, 6, 13)")
      }
      if number != 1 { isFailure = true }
    }
    if !filter.statuses.isEmpty {
      // Numbers, so they may stand in the text.
      conditions.append("j.status IN (\(filter.statuses.map { String($0) }.joined(separator: ",")))")
      if !filter.statuses.contains(0) { isFailure = true }
    }
    if isFailure {
      conditions.append("j.status <> 0")
      index = "jobs_failed"
    }
  }

  private mutating func add(_ condition: String, _ argument: any DatabaseValueConvertible) {
    conditions.append(condition)
    arguments.append(argument)
  }

  /// `FROM` and `WHERE` for the rows numbered `low..<high`.
  var source: String {
    let hint = index.map { "INDEXED BY \($0)" } ?? "NOT INDEXED"
    return "FROM jobs j \(hint) WHERE "
      + (["j.seq >= ?", "j.seq < ?"] + conditions).joined(separator: " AND ")
  }

  func arguments(low: Int64, high: Int64) -> StatementArguments {
    StatementArguments([low, high] + arguments)
  }
}
