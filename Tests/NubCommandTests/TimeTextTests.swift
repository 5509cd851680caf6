import Foundation
import Testing

@testable import nub

struct TimeTextTests {
  /// Of every size that a store can hold, and of those that occur.
  private static func times(_ count: Int) -> [Int64] {
    var random = SystemRandomNumberGenerator()
    return (0..<count).map { index in
      // Years 0 to 9999, every third of our days.
      index % 3 == 0
        ? Int64.random(in: 1_700_000_000_000...1_900_000_000_000, using: &random)
        : Int64.random(in: -62_167_219_200_000...253_402_300_799_999, using: &random)
    }
  }

  @Test func `a time that is written and read is the same, to the millisecond`() {
    for time in Self.times(20_000) + [0, -1, 1, 999, 1_000, 1_795_663_065_001] {
      #expect(TimeText.decode(TimeText.encode(time)) == time, "\(time)")
    }
  }

  @Test func `a day has the date that the system's calendar gives it`() {
    for time in Self.times(5_000) {
      var seconds = Int(time / 1_000) - (time % 1_000 < 0 ? 1 : 0)
      var parts = tm()
      gmtime_r(&seconds, &parts)
      let expected = String(
        format: "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1_900, parts.tm_mon + 1, parts.tm_mday,
        parts.tm_hour, parts.tm_min, parts.tm_sec, Int(time - Int64(seconds) * 1_000))
      #expect(TimeText.encode(time) == expected)
    }
  }

  @Test func `every day of 400 years is the one behind the day before it`() {
    var day: Int64 = -86_400_000 * 1_000
    var last = ""
    for _ in 0..<146_097 {
      let text = String(TimeText.encode(day).prefix(10))
      #expect(text > last && TimeText.decode(text) == day)
      last = text
      day += 86_400_000
    }
  }

  @Test(arguments: [Int64.min, Int64.max, -1 << 60, 1 << 60])
  func `a time of no calendar, as a damaged store may hold, is printed somehow`(time: Int64) {
    #expect(TimeText.encode(time).hasSuffix("Z"))
  }

  @Test(arguments: [
    ("2026-11-26T03:17:45Z", 1_795_663_065_000), ("2026-11-26T03:17:45.1Z", 1_795_663_065_100),
    ("2026-11-26T03:17:45.123999Z", 1_795_663_065_123), ("2026-11-26 03:17:45+00:00", 1_795_663_065_000),
    ("2026-11-26T05:17:45+0200", 1_795_663_065_000), ("2026-11-25T21:47:45-05:30", 1_795_663_065_000),
    ("2026-11-26", 1_795_651_200_000), ("2024-02-29", 1_709_164_800_000), ("1795663065", 1_795_663_065_000),
    ("0", 0),
  ])
  func `times are read in the forms that are documented`(text: String, milliseconds: Int64) {
    #expect(TimeText.decode(text) == milliseconds)
  }

  @Test(arguments: [
    "2026-11-26T03:17:45Zgarbage", "2026-11-26T25:00:00Z", "2026-11-26T24:00:00Z", "2026-11-26T03:61:00Z",
    "2026-11-26T03:17:60Z", "2026-02-30", "2026-02-29", "2100-02-29", "2026-00-01", "2026-13-01",
    "2026-01-00", "2026-01-32", "2026-04-31", "2026-1-1", "26-01-01", "2026-11-26T", "2026-11-26T03:17:45",
    "2026-11-26T03:17Z", "2026-11-26T03:17:45.Z", "2026-11-26T03:17:45+01:0", "2026-11-26T03:17:45+24:00",
    "2026-11-26T03:17:45+01:00Z", "2026-11-26T03:17:45+01:", "2026-11-26Z", "2026-11-26 ", " 2026-11-26",
    "2026-11-26T03:17:45Z\n", "-2026-11-26", "+2026-01-01", "2026-11-2６", "", "soon", "s", "d", "-5m", "+5m",
    "5w", "5 m", "1.5h", "-1", "+1", "1099511627776", "99999999999999999999", "9223372036854775807d",
    "5m\u{301}",
  ])
  func `what is no time is none`(text: String) {
    #expect(TimeText.decode(text) == nil)
  }

  @Test func `an age is so long before now, and at most since 1970`() throws {
    let before = Int64(Date().timeIntervalSince1970 * 1000)
    for (text, age) in [("90s", 90_000), ("15m", 900_000), ("2h", 7_200_000), ("7d", 604_800_000), ("0s", 0)]
    {
      let time = try #require(TimeText.decode(text))
      let after = Int64(Date().timeIntervalSince1970 * 1000)
      #expect((before - Int64(age)...after - Int64(age)).contains(time))
    }
    #expect(TimeText.decode("99999999d") == 0)
  }
}
