/// The words for the numbers that the tables hold, as the protocol and the views spell them.
public enum Names {
  public static let verbs: [(Int64, String)] = [
    (0, "call"), (1, "put_cap"), (2, "find_missing"), (3, "get_cap"), (4, "get_result"), (5, "cancel"),
    (6, "ping"),
  ]
  public static let statuses: [(Int64, String)] = [
    (0, "ok"), (1, "bad_request"), (2, "unknown_function"), (3, "guest_error"), (4, "guest_fault"),
    (5, "deadline_exceeded"), (6, "cancelled"), (7, "cap_missing"), (8, "cap_invalid"), (9, "hash_mismatch"),
    (10, "too_large"), (11, "unavailable"), (12, "conflict"), (13, "quarantined"), (14, "unauthorized"),
    (15, "internal"), (16, "not_found"),
  ]
  /// What a status amounts to.
  public static let states: [(Int64, String)] = [
    (1, "succeeded"), (2, "failed"), (3, "cancelled"), (4, "quarantined"),
  ]
  public static let engines: [(Int64, String)] = [(1, "kvm"), (2, "inprocess")]
  public static let capKinds: [(Int64, String)] = [
    (0, "instance"), (1, "image"), (2, "data"), (3, "cnode"), (4, "type"),
  ]

  /// The word for a number; the number itself if there is none.
  public static func word(_ number: Int64, in list: [(Int64, String)]) -> String {
    list.first { $0.0 == number }?.1 ?? String(number)
  }

  /// The number for a word, or for the digits of a number.
  public static func number(_ word: String, in list: [(Int64, String)]) -> Int64? {
    list.first { $0.1 == word }?.0 ?? Int64(word)
  }

  /// The state that goes with a status.
  @inline(__always)
  static func state(ofStatus status: UInt32) -> Int64 {
    switch status {
    case 0: 1
    case 6: 3
    case 13: 4
    default: 2
    }
  }

  static func sqlCase(_ column: String, _ list: [(Int64, String)]) -> String {
    let cases = list.map { "WHEN \($0.0) THEN '\($0.1)'" }.joined(separator: " ")
    return "CASE \(column) \(cases) ELSE CAST(\(column) AS TEXT) END"
  }
}
