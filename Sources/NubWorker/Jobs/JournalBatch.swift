internal import NubStore

/// Jobs that were journaled together. Their row in the store goes when the last of them is finished.
///
/// Jobs carry a reference to it, but only the committer thread looks at the count.
final class JournalBatch: @unchecked Sendable {
  let id: JournalID
  /// Whether the row is one job's own, with a count of its runs.
  let isSolo: Bool
  var unfinished: Int

  init(id: JournalID, unfinished: Int, isSolo: Bool = false) {
    self.id = id
    self.unfinished = unfinished
    self.isSolo = isSolo
  }
}
