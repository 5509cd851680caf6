import NubGuestKit

/// A word where it lies in the text: hashed and compared as bytes, with ASCII letters' case ignored. Copies nothing.
struct Word: Hashable {
  let bytes: UnsafeRawBufferPointer

  static func == (left: Word, right: Word) -> Bool {
    guard left.bytes.count == right.bytes.count else { return false }
    for index in 0..<left.bytes.count where lowercase(left.bytes[index]) != lowercase(right.bytes[index]) {
      return false
    }
    return true
  }

  func hash(into hasher: inout Hasher) {
    for byte in bytes { hasher.combine(Word.lowercase(byte)) }
  }

  /// Byte order, ignoring ASCII case.
  func precedes(_ other: Word) -> Bool {
    for index in 0..<min(bytes.count, other.bytes.count) {
      let (left, right) = (Word.lowercase(bytes[index]), Word.lowercase(other.bytes[index]))
      if left != right { return left < right }
    }
    return bytes.count < other.bytes.count
  }

  static func lowercase(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

  /// ASCII letters, digits and the apostrophe, and every byte of a character beyond ASCII.
  static func isPart(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x27, 0x80...0xff: true
    default: false
    }
  }
}

struct WordCount {
  private static let maximumWordLength = 1024

  private var counts: [Word: Int] = [:]
  private var total = 0

  init(of text: UnsafeRawBufferPointer) throws(GuestError) {
    var start: Int?
    for index in 0...text.count {
      if index < text.count, Word.isPart(text[index]) {
        if start == nil { start = index }
      } else if let begin = start {
        let length = index - begin
        guard length <= WordCount.maximumWordLength else {
          throw GuestError(
            status: 1,
            text:
              "the word at byte \(begin) has \(length) bytes; at most \(WordCount.maximumWordLength) are taken"
          )
        }
        counts[Word(bytes: UnsafeRawBufferPointer(rebasing: text[begin..<index])), default: 0] += 1
        total += 1
        start = nil
      }
    }
  }

  mutating func remove(_ others: WordCount) {
    for word in others.counts.keys { total -= counts.removeValue(forKey: word) ?? 0 }
  }

  /// Writes the `limit` most frequent words as JSON (RFC 8259).
  func write(_ limit: Int, to call: borrowing GuestCall) throws(GuestError) {
    var words: [(word: Word, count: Int)] = []
    for (word, count) in counts { words.append((word, count)) }
    words.sort { $0.count != $1.count ? $0.count > $1.count : $0.word.precedes($1.word) }

    try call.write("{\"total\":\(total),\"distinct\":\(words.count),\"words\":[")
    for (index, entry) in words.prefix(limit).enumerated() {
      if index > 0 { try call.write(",") }
      try call.write("{\"word\":\"")
      // Words have no byte that JSON wants escaped; whether they are UTF-8 is the producer's business.
      for byte in entry.word.bytes { try call.write(Word.lowercase(byte)) }
      try call.write("\",\"count\":\(entry.count)}")
    }
    try call.write("]}")
  }
}
