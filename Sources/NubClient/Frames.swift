/// The frames of the job protocol, version 1, as a producer writes and reads them.
enum Frames {
  static let magic = Array("NUB1".utf8)
  static let reply = Array("reply".utf8)

  enum Verb: String {
    case call
    case putCap = "put_cap"
    case findMissing = "find_missing"
    case getCap = "get_cap"
    case getResult = "get_result"
    case cancel
    case ping
  }

  static func job(
    _ verb: Verb, _ id: JobID, operand: [UInt8] = [], body: [UInt8] = [], options: [UInt8] = [],
    caps: [[UInt8]] = []
  ) -> [[UInt8]] {
    var frames = [magic, Array(verb.rawValue.utf8), id.bytes, operand, body]
    if !options.isEmpty || !caps.isEmpty { frames.append(options) }
    frames.append(contentsOf: caps)
    return frames
  }
}

/// A reply, its frames told apart but not yet judged.
struct Reply: Sendable, Equatable {
  var id: [UInt8]
  var status: JobStatus
  var body: [UInt8]
  var metaJSON: [UInt8]

  init(id: [UInt8], status: JobStatus, body: [UInt8] = [], metaJSON: [UInt8] = []) {
    self.id = id
    self.status = status
    self.body = body
    self.metaJSON = metaJSON
  }

  /// `nil` for anything that is not a reply: a peer can send what it likes.
  init?(frames: [[UInt8]]) {
    // A broker may leave an envelope in front.
    guard let start = frames.firstIndex(of: Frames.magic), frames.count >= start + 5 else { return nil }
    let status = frames[start + 3]
    guard frames[start + 1] == Frames.reply, (1...64).contains(frames[start + 2].count), status.count == 4
    else {
      return nil
    }
    id = frames[start + 2]
    self.status = JobStatus(
      rawValue: UInt32(status[0]) | UInt32(status[1]) << 8 | UInt32(status[2]) << 16 | UInt32(status[3]) << 24
    )
    body = frames[start + 4]
    metaJSON = frames.count > start + 5 ? frames[start + 5] : []
  }
}
