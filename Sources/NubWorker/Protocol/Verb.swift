/// What a producer asks for (frame 1 of a job).
enum Verb: UInt8, Sendable, CaseIterable {
  // The raw values are the store's.
  case call = 0
  case putCap = 1
  case findMissing = 2
  case getCap = 3
  case getResult = 4
  case cancel = 5
  case ping = 6

  var name: StaticString {
    switch self {
    case .call: "call"
    case .putCap: "put_cap"
    case .findMissing: "find_missing"
    case .getCap: "get_cap"
    case .getResult: "get_result"
    case .cancel: "cancel"
    case .ping: "ping"
    }
  }

  init?(_ bytes: UnsafeRawBufferPointer) {
    for verb in Verb.allCases where verb.matches(bytes) {
      self = verb
      return
    }
    return nil
  }

  private func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let name = name
    guard bytes.count == name.utf8CodeUnitCount else { return false }
    for index in 0..<bytes.count where bytes[index] != name.utf8Start[index] { return false }
    return true
  }
}
