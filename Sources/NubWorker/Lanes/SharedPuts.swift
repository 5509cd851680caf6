internal import NubCap
internal import NubStore
internal import Synchronization

/// Puts whose work, copying and hashing, somebody else on this store is doing at the moment: another process, or another lane for a
/// producer that claimed no hash. They wait here, on no thread; the door looks after them.
final class SharedPuts: Sendable {
  let book: any WorkBook
  private let waiting = Mutex<[Job]>([])
  private let count = Atomic<Int>(0)
  private let wakeup: Wakeup

  /// A cap of fewer bytes is hashed in less time than it takes to ask around (docs/decisions/0316).
  static let leastBytes = 32 << 10
  /// How long a put waits for others, as long as a commit waits for another program's lock: whoever is at it may have been stopped.
  private static let patience = Milliseconds(10_000)

  init(book: any WorkBook, wakeup: Wakeup) {
    self.book = book
    self.wakeup = wakeup
  }

  /// How a put stands with others of the same bytes.
  struct Standing {
    var key: WorkKey
    /// Waits for others until then; nil before it has met any.
    var patience: Monotonic?
    /// Its own entry, while the work is its own.
    var hold: Hold?
  }

  /// An entry in the book. It ends with this object at the latest.
  final class Hold: Sendable {
    private let book: any WorkBook
    private let key: WorkKey

    fileprivate init(_ book: any WorkBook, _ key: WorkKey) {
      self.book = book
      self.key = key
    }

    /// What the bytes are, said as soon as it is known: those that waited find it even if this process dies behind the commit.
    func note(_ hash: CapHash) { book.note(hash, of: key) }

    deinit { book.end(key) }
  }

  func key(for job: Job) -> WorkKey {
    job.tenantName.withUnsafeBytes { WorkKey(of: job.body, tenant: $0, secret: book.secret) }
  }

  /// nil: somebody is at it.
  func begin(_ key: WorkKey) -> Hold? {
    book.begin(key) ? Hold(book, key) : nil
  }

  /// Lets a job wait that has a standing.
  func wait(_ job: Job) {
    if job.standing?.patience == nil { job.standing?.patience = .now + Self.patience }
    let isFirst = waiting.withLock { waiting in
      waiting.append(job)
      count.store(waiting.count, ordering: .relaxed)
      return waiting.count == 1
    }
    // The door sleeps for shorter from now on.
    if isFirst { wakeup.notify() }
  }

  /// Whether nobody waits, for as far as this thread knows.
  var isEmpty: Bool { count.load(ordering: .relaxed) == 0 }

  /// Takes those for whom nobody works any more, and those that have waited long enough.
  func takeReady(at now: Monotonic) -> [Job] {
    var known: [WorkKey: Bool] = [:]
    return take { job in
      guard let standing = job.standing, now < standing.patience ?? now else { return true }
      if let expires = job.expires, expires <= now.microseconds { return true }
      let isUnderWay = known[standing.key] ?? book.isUnderWay(standing.key)
      known[standing.key] = isUnderWay
      return !isUnderWay
    }
  }

  /// Takes all of them.
  func takeAll() -> [Job] { take { _ in true } }

  private func take(where isWanted: (Job) -> Bool) -> [Job] {
    waiting.withLock { waiting in
      var taken: [Job] = []
      waiting.removeAll { job in
        guard isWanted(job) else { return false }
        taken.append(job)
        return true
      }
      count.store(waiting.count, ordering: .relaxed)
      return taken
    }
  }
}

extension Lane {
  /// Whether a put's work is to be done here and now. If not, it has been ended with what the store knows by now, or waits.
  func isToDo(_ job: Job, claim: CapHash?) -> Bool {
    guard let shared, job.body.count >= SharedPuts.leastBytes, job.standing?.hold == nil else { return true }
    var standing = job.standing ?? SharedPuts.Standing(key: shared.key(for: job))
    job.standing = standing
    // Whoever worked for it has ended: most likely all is there.
    if standing.patience != nil, endIfKnown(job, standing.key, claim) { return false }
    guard let hold = shared.begin(standing.key) else {
      if let patience = standing.patience, .now >= patience { return true }
      shared.wait(job)
      return false
    }
    // Between the door's look and this entry somebody else may have come and gone.
    if endIfKnown(job, standing.key, claim) { return false }
    standing.hold = hold
    job.standing = standing
    return true
  }

  private func endIfKnown(_ job: Job, _ key: WorkKey, _ claim: CapHash?) -> Bool {
    guard let hash = claim ?? shared?.book.result(of: key), caps.has(hash, as: job, isClaimed: claim != nil)
    else { return false }
    job.started = .now
    var outcome = JobOutcome(.ok, hash.bytes)
    outcome.wasKnown = true
    end(job, outcome)
    return true
  }
}
