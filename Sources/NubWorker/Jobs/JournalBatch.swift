/// Jobs that were journaled together. Its row in the store goes when the last of them is finished.
///
/// Committer thread only.
final class JournalBatch: @unchecked Sendable {
  // Jobs carry a reference to it, but only the committer thread looks inside.
  let row: Int64
  var unfinished: Int

  init(row: Int64, unfinished: Int) {
    self.row = row
    self.unfinished = unfinished
  }
}
