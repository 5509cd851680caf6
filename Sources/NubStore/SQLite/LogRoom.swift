internal import Glibc

/// Keeps the log's file longer than what it holds, so that a commit overwrites blocks which the file has already. One that makes the
/// file longer costs its fdatasync a transaction of the file system's own, about as long as the write itself (docs/decisions/0430).
///
/// What it writes is zeros behind the end of the file. SQLite takes frames with its checksum and salt only, so it never takes them
/// for any, and overwrites them in its turn.
struct LogRoom: ~Copyable {
  private let path: String
  /// The length up to which room is made ahead; behind it the log grows by its commits.
  private let limit: Int64
  /// How long the file is, as far as known.
  private var length: Int64 = 0
  /// Where the log ended when it was asked last.
  private var lastEnd: Int64 = 0

  private static let smallest: Int64 = 1 << 20
  /// When less is left, more is made.
  private static let margin: Int64 = 128 << 10

  /// - Parameter limit: how long the log gets before it starts over, in bytes.
  init(path: String, limit: Int64) {
    self.path = path + "-wal"
    // The commit that reaches the limit goes beyond it.
    self.limit = limit + limit / 4
  }

  /// Whether a log that ends at `end` is to get more room.
  mutating func isShort(at end: Int64) -> Bool {
    // It has started over, perhaps because another program moved it and cut its file short: look again. What failed may succeed now.
    if end < lastEnd { length = 0 }
    lastEnd = end
    return lacksRoom(at: end)
  }

  private func lacksRoom(at end: Int64) -> Bool { end + Self.margin > length && length < limit }

  /// Doubles the room behind `end`. Only with SQLite's write lock: nobody appends meanwhile.
  ///
  /// Without success, the disk being full or anything else, commits go on as they can, and nothing more is tried until the log starts over.
  mutating func grow(at end: Int64) {
    let descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else {
      length = .max
      return
    }
    // SQLite has no lock on this file that closing it could drop: they are all on the other two (WAL-mode file format, section 2).
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_size > 0 else { return }
    let old = Int64(status.st_size)
    length = old
    // Another worker may have made room already.
    guard lacksRoom(at: end) else { return }
    let wanted = min(max(Self.smallest, 2 * old), limit)
    length = wanted
    if !fill(descriptor, from: old, to: wanted) || fdatasync(descriptor) != 0 {
      ftruncate(descriptor, off_t(old))
      length = .max
    }
  }

  /// Writes, for blocks that are only reserved (fallocate) must be marked as written by the commit that fills them.
  private func fill(_ descriptor: Int32, from start: Int64, to end: Int64) -> Bool {
    let zeros = [UInt8](repeating: 0, count: 256 << 10)
    var offset = start
    while offset < end {
      let written = pwrite(descriptor, zeros, Int(min(Int64(zeros.count), end - offset)), off_t(offset))
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return false }
      offset += Int64(written)
    }
    return true
  }
}
