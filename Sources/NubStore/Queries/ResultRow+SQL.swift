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
    self.init(
      seq: row.integer(0), jobID: Array(row.blob(1) ?? Data()), tenant: row.text(2) ?? "",
      verb: Names.word(row.integer(3), in: Names.verbs),
      function: row.text(5) ?? row.optionalInteger(4).map { String($0) } ?? Hex.text(row.blob(6) ?? Data()),
      state: Names.word(row.integer(7), in: Names.states), status: row.integer(8),
      guestStatus: row.optionalInteger(9).map { UInt32(clamping: $0) }, message: row.text(10),
      resultBytes: row.optionalInteger(11).map { Int($0) }, attempts: row.integer(12),
      worker: row.text(13) ?? "", engine: Names.word(row.integer(14), in: Names.engines),
      image: row.text(15), sandbox: UInt64(bitPattern: row.integer(16)), queuedMicroseconds: row.integer(17),
      runMicroseconds: row.integer(18), acceptedMilliseconds: row.integer(19),
      finishedMilliseconds: row.integer(20))
  }
}

extension ResultDetail {
  /// - Parameters:
  ///   - row: as ``ResultRow/select`` has it.
  ///   - more: the job's number, result, digest, and whether its request was kept.
  init(_ row: Row, _ more: Row) {
    self.init(
      row: ResultRow(row), result: more.blob(1).map { Array($0) }, digest: Array(more.blob(2) ?? Data()),
      canRetry: more[3])
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
