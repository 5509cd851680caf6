internal import Glibc
public import HTTPTypes

/// A reply.
public struct PageResponse: Sendable {
  public var status: HTTPResponse.Status
  public var type: String
  public var body: [UInt8]
  /// Further fields; this program's own code writes them, never a peer.
  public var fields = HTTPFields()

  public init(_ status: HTTPResponse.Status, type: String, body: [UInt8]) {
    self.status = status
    self.type = type
    self.body = body
  }

  /// Plain text; a line's end is added.
  public static func text(_ status: HTTPResponse.Status, _ text: String) -> PageResponse {
    PageResponse(status, type: "text/plain; charset=utf-8", body: Array((text + "\n").utf8))
  }

  /// The head as it is sent.
  ///
  /// - Parameters:
  ///   - closes: the connection ends with this answer.
  ///   - time: Unix seconds.
  func head(closes: Bool, time: Int) -> HTTPResponse {
    var all: HTTPFields = [
      .date: Self.date(time), .contentType: type, .contentLength: "\(body.count)",
      // Nothing here is for caches, frames, other sites or guesses about types.
      .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
    ]
    all[Self.frameOptions] = "DENY"
    all[Self.referrerPolicy] = "no-referrer"
    all[Self.resourcePolicy] = "same-origin"
    if closes { all[.connection] = "close" }
    if status == .methodNotAllowed { all[.allow] = "GET, HEAD" }
    for field in fields { all[field.name] = field.value }
    return HTTPResponse(status: status, headerFields: all)
  }

  private static let frameOptions = name("X-Frame-Options")
  private static let referrerPolicy = name("Referrer-Policy")
  private static let resourcePolicy = name("Cross-Origin-Resource-Policy")

  /// - Returns: another harmless field's name for what is no name, which none of the above is.
  private static func name(_ text: String) -> HTTPField.Name { HTTPField.Name(text) ?? .vary }

  /// RFC 9110, section 5.6.7.
  private static func date(_ time: Int) -> String {
    var seconds = time
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "Thu, 01 Jan 1970 00:00:00 GMT" }
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return
      "\(days[Int(parts.tm_wday) % 7]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon) % 12]) \(parts.tm_year + 1900) "
      + "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
  }
}
