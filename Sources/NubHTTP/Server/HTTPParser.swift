/// Reads request heads out of what a peer has sent (RFC 9112). A pure function of the bytes: no socket, no clock.
///
/// It takes what browsers, Prometheus and probes send, and refuses the rest instead of guessing: two readers that guess differently
/// are how requests are smuggled. A head is bounded before it is complete, so a peer decides neither how much memory nor how
/// much time is spent on it.
public enum HTTPParser {
  /// Bytes of a whole head.
  public static let maximumHead = 8 << 10
  /// Bytes of a request's target.
  public static let maximumTarget = 2 << 10
  public static let maximumFields = 64

  public enum Outcome: Sendable, Equatable {
    /// The head is not complete yet.
    case incomplete
    /// A request, and the bytes that its head took.
    case request(HTTPRequest, consumed: Int)
    /// Answer with this and close: where the next request would begin is not known.
    case refused(HTTPStatus, String)
  }

  public static func parse(_ bytes: ArraySlice<UInt8>) -> Outcome {
    // RFC 9112, section 2.2: an empty line before a request is ignored; one.
    var bytes = bytes
    var skipped = 0
    if bytes.starts(with: [13, 10]) {
      bytes = bytes.dropFirst(2)
      skipped = 2
    }
    guard let end = headEnd(bytes) else {
      if bytes.count >= maximumHead { return .refused(.fieldsTooLarge, "a head has at most 8 KiB") }
      // What cannot become a request need not be waited for: other protocols, scanners.
      if let first = bytes.first, !isToken(first) { return .refused(.badRequest, "this is not HTTP") }
      return .incomplete
    }
    guard end <= maximumHead else { return .refused(.fieldsTooLarge, "a head has at most 8 KiB") }
    guard end >= 2, bytes[bytes.startIndex + end - 2] == 13 else {
      return .refused(.badRequest, "a line ends with CR LF")
    }
    var lines = Lines(bytes[bytes.startIndex..<bytes.startIndex + end - 2])
    guard let line = lines.next() else { return .refused(.badRequest, "no request line") }
    var head: Head
    switch requestLine(line) {
    case .success(let parsed): head = parsed
    case .failure(let refusal): return .refused(refusal.status, refusal.message)
    }
    var count = 0
    while let line = lines.next() {
      count += 1
      guard count <= maximumFields else { return .refused(.fieldsTooLarge, "a head has at most 64 fields") }
      if let refusal = field(line, &head) { return .refused(refusal.status, refusal.message) }
    }
    if lines.isBroken { return .refused(.badRequest, "a line ends with CR LF") }
    // RFC 9112, section 3.2: exactly one in HTTP/1.1.
    if head.hosts > 1 || (head.hosts == 0 && head.minor == 1) {
      return .refused(.badRequest, "one Host field is needed")
    }
    if head.hasBody { return .refused(.contentTooLarge, "requests with a body are not taken") }
    guard head.method == "GET" || head.method == "HEAD" else {
      return .refused(.methodNotAllowed, "only GET and HEAD")
    }
    let target = head.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    return .request(
      HTTPRequest(
        path: String(target[0]), query: target.count > 1 ? String(target[1]) : "", host: head.host,
        isHead: head.method == "HEAD", keepsAlive: head.minor == 1 && !head.closes),
      consumed: skipped + end)
  }

  // MARK: Inside

  private struct Head {
    var method: String
    var target: String
    var minor: Int
    var host: String?
    var hosts = 0
    var hasBody = false
    var closes = false
  }

  private struct Refusal: Error {
    var status: HTTPStatus
    var message: String
  }

  /// The count of bytes up to and including the empty line.
  private static func headEnd(_ bytes: ArraySlice<UInt8>) -> Int? {
    var index = bytes.startIndex
    let last = min(bytes.endIndex, bytes.startIndex + maximumHead)
    while let line = bytes[index..<last].firstIndex(of: 10) {
      // An empty line, however it ends: a bare LF is refused later, but must not be waited behind.
      let length = line - index
      if length == 0 || (length == 1 && bytes[index] == 13) { return line + 1 - bytes.startIndex }
      index = line + 1
    }
    return nil
  }

  /// The lines of a head without their ends; stops at one that does not end with CR LF.
  private struct Lines {
    private var rest: ArraySlice<UInt8>
    private(set) var isBroken = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func next() -> ArraySlice<UInt8>? {
      guard !rest.isEmpty else { return nil }
      guard let end = rest.firstIndex(of: 10), end > rest.startIndex, rest[end - 1] == 13 else {
        isBroken = true
        return nil
      }
      defer { rest = rest[(end + 1)...] }
      return rest[rest.startIndex..<end - 1]
    }
  }

  private static func requestLine(_ line: ArraySlice<UInt8>) -> Result<Head, Refusal> {
    func refuse(_ status: HTTPStatus, _ message: String) -> Result<Head, Refusal> {
      .failure(Refusal(status: status, message: message))
    }
    let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 3, !parts[0].isEmpty, parts[0].allSatisfy(isToken), parts[0].count <= 32 else {
      return refuse(.badRequest, "not a request line")
    }
    guard parts[2].count == 8, parts[2].starts(with: Array("HTTP/".utf8)) else {
      return refuse(.badRequest, "not a request line")
    }
    guard parts[2].starts(with: Array("HTTP/1.".utf8)), let digit = parts[2].last, (48...57).contains(digit)
    else { return refuse(.versionNotSupported, "HTTP/1.0 and HTTP/1.1") }
    let target = parts[1]
    guard target.count <= maximumTarget else { return refuse(.targetTooLong, "a target has at most 2 KiB") }
    // Origin form; the absolute form is for proxies, and this is none. Visible ASCII without what never stands in a URL.
    guard target.first == UInt8(ascii: "/"),
      target.allSatisfy({ $0 > 32 && $0 < 127 && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "\\") })
    else { return refuse(.badRequest, "the target is a path") }
    return .success(
      Head(
        method: String(decoding: parts[0], as: UTF8.self), target: String(decoding: target, as: UTF8.self),
        minor: digit == 48 ? 0 : 1))
  }

  private static func field(_ line: ArraySlice<UInt8>, _ head: inout Head) -> Refusal? {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
      line[line.startIndex..<colon].allSatisfy(isToken)
    else { return Refusal(status: .badRequest, message: "not a header field") }
    var value = line[(colon + 1)...]
    while let first = value.first, first == 32 || first == 9 { value.removeFirst() }
    while let last = value.last, last == 32 || last == 9 { value.removeLast() }
    guard value.allSatisfy({ $0 >= 32 && $0 != 127 || $0 == 9 }) else {
      return Refusal(status: .badRequest, message: "a control character in a header field")
    }
    let text = String(decoding: value, as: UTF8.self)
    switch String(decoding: line[line.startIndex..<colon], as: UTF8.self).lowercased() {
    case "host":
      head.hosts += 1
      head.host = text
    case "content-length": if text != "0" { head.hasBody = true }
    case "transfer-encoding": head.hasBody = true
    case "connection":
      let tokens = text.lowercased().split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" })
      if tokens.contains("close") { head.closes = true }
    default: break
    }
    return nil
  }

  /// RFC 9110, section 5.6.2.
  private static func isToken(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
