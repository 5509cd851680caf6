/// A time in the calendar, to the millisecond, as ISO 8601 writes it: `2026-01-31T12:00:00.123Z`.
///
/// In whole numbers throughout: through `Date`, which counts in binary fractions of a second, every other time comes out a millisecond
/// early. And stricter than Foundation, which takes the 30th of February and whatever stands behind the time.
struct UTCTime: Equatable {
  /// Since 1970.
  var milliseconds: Int64

  private static let dayMilliseconds: Int64 = 86_400_000

  init(milliseconds: Int64) { self.milliseconds = milliseconds }

  /// Reads a date, which is its midnight, or a time of whole seconds or fractions of them in UTC (`Z`) or with an offset (`+01:00`);
  /// between date and time a `T` or a space. What is finer than a millisecond is left out. Nil for everything else.
  init?(_ text: String) {
    var rest = Array(text.utf8)[...]
    func take(_ bytes: String) -> Bool {
      guard let byte = rest.first, bytes.utf8.contains(byte) else { return false }
      rest.removeFirst()
      return true
    }
    func number(_ digits: Int, _ range: ClosedRange<Int64>) -> Int64? {
      let text = rest.prefix(digits)
      guard text.count == digits, text.allSatisfy(UTCTime.isDigit) else { return nil }
      rest.removeFirst(digits)
      let value = text.reduce(Int64(0)) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
      return range.contains(value) ? value : nil
    }
    guard let year = number(4, 0...9999), take("-"), let month = number(2, 1...12), take("-"),
      let day = number(2, 1...31)
    else { return nil }
    let days = UTCTime.days(year, month, day)
    // The 30th of February is a day of March.
    guard UTCTime.date(days) == (year, month, day) else { return nil }
    milliseconds = days * UTCTime.dayMilliseconds
    if rest.isEmpty { return }
    guard take("T "), let hour = number(2, 0...23), take(":"), let minute = number(2, 0...59), take(":"),
      let second = number(2, 0...59)
    else { return nil }
    milliseconds += ((hour * 60 + minute) * 60 + second) * 1_000
    if take(".") {
      let fraction = rest.prefix(while: UTCTime.isDigit)
      guard !fraction.isEmpty else { return nil }
      rest = rest.dropFirst(fraction.count)
      for (digit, unit) in zip(fraction, [100, 10, 1]) {
        milliseconds += Int64(digit - UInt8(ascii: "0")) * Int64(unit)
      }
    }
    if take("Z") {
      guard rest.isEmpty else { return nil }
      return
    }
    let isEast = rest.first == UInt8(ascii: "+")
    guard take("+-"), let hours = number(2, 0...23), take(":") || !rest.isEmpty,
      let minutes = number(2, 0...59), rest.isEmpty
    else { return nil }
    milliseconds -= (isEast ? 1 : -1) * (hours * 60 + minutes) * 60_000
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  // Years begin in March here, so that the day that not all have is their last; 400 of them are always 146 097 days.

  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let year = month > 2 ? year : year - 1
    let (cycle, inCycle) = floorDivide(year, 400)
    let inYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return cycle * 146_097 + inCycle * 365 + inCycle / 4 - inCycle / 100 + inYear - sinceMarchOfYear0
  }

  private static func date(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (cycle, inCycle) = floorDivide(days + sinceMarchOfYear0, 146_097)
    let year = (inCycle - inCycle / 1_460 + inCycle / 36_524 - inCycle / 146_096) / 365
    let inYear = inCycle - (year * 365 + year / 4 - year / 100)
    let month = (5 * inYear + 2) / 153
    let day = inYear - (153 * month + 2) / 5 + 1
    return (cycle * 400 + year + (month < 10 ? 0 : 1), month < 10 ? month + 3 : month - 9, day)
  }

  /// Days from the 1st of March of the year 0 to 1970.
  private static let sinceMarchOfYear0: Int64 = 719_468

  private static func floorDivide(_ number: Int64, _ by: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = number.quotientAndRemainder(dividingBy: by)
    return remainder < 0 ? (quotient - 1, remainder + by) : (quotient, remainder)
  }
}

extension UTCTime: CustomStringConvertible {
  var description: String {
    let (days, inDay) = UTCTime.floorDivide(milliseconds, UTCTime.dayMilliseconds)
    let (year, month, day) = UTCTime.date(days)
    let seconds = inDay / 1_000
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
      + "\(padded(seconds / 3_600, 2)):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2)).\(padded(inDay % 1_000, 3))Z"
  }

  private func padded(_ number: Int64, _ count: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }
}
