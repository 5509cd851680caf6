import NubCap
import NubJSON
import Testing

@testable import NubWorker

private func parse(_ text: String) throws -> JobOptions { try parse(Array(text.utf8)) }
private func parse(_ bytes: [UInt8]) throws -> JobOptions { try JobOptions(json: bytes.span.bytes) }

@Suite struct JobOptionsTests {
  @Test func `absent options are the defaults`() throws {
    let options = try parse("")
    #expect(options.priority == 5)
    #expect(options.tenant.isEmpty)
    #expect(!options.fresh)
    #expect(options.deadlineMilliseconds == nil)
    #expect(try parse(" { } ").priority == 5)
  }

  @Test func `every known option is read`() throws {
    let hash = String(repeating: "ab", count: 32)
    let options = try parse(
      """
      {"deadline_ms": 250, "expires_at_ms": 1790000000000, "tenant": "acme", "priority": 9, "fresh": true,
       "caps": ["\(hash)"], "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
      """)
    #expect(options.deadlineMilliseconds == 250)
    #expect(options.expiresAtMilliseconds == 1_790_000_000_000)
    #expect(options.tenant == ShortBytes("acme"))
    #expect(options.priority == 9)
    #expect(options.fresh)
    #expect(options.caps.map(\.hex) == [hash])
    #expect(options.traceparent?.count == 55)
  }

  @Test func `unknown options are ignored, whatever they hold`() throws {
    let options = try parse(
      #"{"x":[1,-2.5e+3,{"a":[null,true,false,"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"]}],"priority":1,"x":0}"#)
    #expect(options.priority == 1)
  }

  @Test func `an escaped key is the key it spells`() throws {
    #expect(try parse(#"{"t\u0065nant":"\u0061b"}"#).tenant == ShortBytes("ab"))
  }

  @Test(arguments: [
    #"{"deadline_ms":"5"}"#, #"{"deadline_ms":-1}"#, #"{"deadline_ms":1.5}"#, #"{"deadline_ms":1e3}"#,
    #"{"deadline_ms":null}"#, #"{"deadline_ms":01}"#, #"{"expires_at_ms":99999999999999999999}"#,
    #"{"priority":10}"#, #"{"priority":"high"}"#, #"{"fresh":1}"#, #"{"fresh":"true"}"#, #"{"tenant":5}"#,
    #"{"tenant":null}"#, #"{"caps":"ab"}"#, #"{"caps":["ab"]}"#, #"{"caps":[5]}"#, #"{"traceparent":[]}"#,
  ]) func `a known option of a wrong type is refused`(text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test(arguments: [
    "[]", "{", "}", "{}x", "null", "{\"a\"}", "{\"a\":}", "{a:1}", "{\"a\":1,}", "{\"a\":1 \"b\":2}",
    "{\"a\":tru}",
    "{\"a\":\"\u{1}\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\"}",
    "{\"a\":\"\\ud800\\u0041\"}",
    "{\"a\":+1}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":1e}", "{\"a\":00}", "{\"a\":\"", "{\"a\":\"\\",
    "{\"a\":\"\\u12",
    "\u{FEFF}{}", "{\"a\":NaN}", "{'a':1}", "{}{}", "{\"a\":[1,]}", "{\"a\":[,1]}", "{\"a\":[1 2]}",
  ]) func `what is not JSON is refused`(text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test(
    arguments: [
      [0xC0, 0x80], [0xC1, 0xBF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80],
      [0xE0, 0x80, 0x80],
      [0xF0, 0x80, 0x80, 0x80], [0x80], [0xC3], [0xE2, 0x82], [0xFF],
    ] as [[UInt8]]) func `ill-formed UTF-8 is refused`(sequence: [UInt8])
  {
    #expect(throws: JSONError.self) { try parse(Array(#"{"a":""#.utf8) + sequence + Array(#""}"#.utf8)) }
  }

  @Test func `a known key that occurs twice is refused`() {
    #expect(throws: JSONError.self) { try parse(#"{"tenant":"a","tenant":"b"}"#) }
    #expect(throws: JSONError.self) { try parse(#"{"tenant":"a","\u0074enant":"a"}"#) }
  }

  @Test func `a tenant has at most 64 bytes`() throws {
    let longest = String(repeating: "é", count: 32)
    #expect(try parse("{\"tenant\":\"\(longest)\"}").tenant == ShortBytes(longest))
    #expect(throws: JSONError.self) { try parse("{\"tenant\":\"\(longest)x\"}") }
  }

  @Test func `nesting is bounded`() throws {
    func nested(_ depth: Int) -> String {
      "{\"a\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
    }
    _ = try parse(nested(31))
    #expect(throws: JSONError.self) { try parse(nested(60_000)) }
  }

  @Test func `at most 256 caps are named`() throws {
    func caps(_ count: Int) -> String {
      "{\"caps\":["
        + [String](repeating: "\"" + String(repeating: "0", count: 64) + "\"", count: count).joined(
          separator: ",")
        + "]}"
    }
    #expect(try parse(caps(256)).caps.count == 256)
    #expect(throws: JSONError.self) { try parse(caps(257)) }
  }

  @Test func `no prefix and no flipped byte of valid options traps the scanner`() {
    let text = Array(#"{"x":[1,-2.5e+3,{"a":"\ud83d\ude00é"}],"priority":1,"caps":[],"tenant":"a\n"}"#.utf8)
    for end in 0..<text.count { _ = try? parse(Array(text[..<end])) }
    for index in text.indices {
      for bit in 0..<8 {
        var changed = text
        changed[index] ^= 1 << bit
        _ = try? parse(changed)
      }
    }
  }
}
