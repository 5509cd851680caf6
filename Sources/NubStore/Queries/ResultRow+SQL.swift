internal import Foundation
internal import GRDB

extension ResultRow {
  /// The columns of a row; a `WHERE` is to follow.
  static let select = """
    SELECT j.seq, j.job_id, t.name, j.verb, j.function, f.name, j.operand, j.state, j.status, j.guest_status, j.message,
      length(j.result), j.attempts, w.name, j.engine, i.name, j.sandbox, j.queued_us, j.run_us, j.accepted_ms,
      j.finished_ms
    FROM jobs j
    LEFT JOIN tenants t ON t.tenant = j.tenant
    LEFT JOIN workers w ON w.worker = j.worker
    LEFT JOIN images i ON i.image = j.image
    LEFT JOIN functions f ON f.image = j.image AND f.function = j.function
    """

  init(_ row: Row) {
    let id: Data = row[1]
    let name: String? = row[5]
    let number: Int64? = row[4]
    let operand: Data? = row[6]
    let sandbox: Int64 = row[16]
    self.init(
      seq: row[0], jobID: Array(id), tenant: row[2] ?? "", verb: Names.word(row[3], in: Names.verbs),
      function: name ?? number.map { String($0) } ?? Hex.text(operand ?? Data()),
      state: Names.word(row[7], in: Names.states), status: row[8], guestStatus: row[9], message: row[10],
      resultBytes: row[11], attempts: row[12], worker: row[13] ?? "",
      engine: Names.word(row[14], in: Names.engines),
      image: row[15], sandbox: UInt64(bitPattern: sandbox), queuedMicroseconds: row[17],
      runMicroseconds: row[18],
      acceptedMilliseconds: row[19], finishedMilliseconds: row[20])
  }
}

/// Bytes as people read them.
public enum Hex {
  /// Two lower-case digits a byte.
  public static func text(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}
