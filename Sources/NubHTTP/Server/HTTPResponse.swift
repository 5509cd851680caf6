internal import Glibc

/// The statuses that are used here (RFC 9110, section 15; RFC 6585).
public enum HTTPStatus: Int, Sendable {
  case ok = 200
  case seeOther = 303
  case badRequest = 400
  case notFound = 404
  case methodNotAllowed = 405
  case requestTimeout = 408
  case contentTooLarge = 413
  case targetTooLong = 414
  case misdirected = 421
  case fieldsTooLarge = 431
  case internalError = 500
  case unavailable = 503
  case versionNotSupported = 505

  var phrase: String {
    switch self {
    case .ok: "OK"
    case .seeOther: "See Other"
    case .badRequest: "Bad Request"
    case .notFound: "Not Found"
    case .methodNotAllowed: "Method Not Allowed"
    case .requestTimeout: "Request Timeout"
    case .contentTooLarge: "Content Too Large"
    case .targetTooLong: "URI Too Long"
    case .misdirected: "Misdirected Request"
    case .fieldsTooLarge: "Request Header Fields Too Large"
    case .internalError: "Internal Server Error"
    case .unavailable: "Service Unavailable"
    case .versionNotSupported: "HTTP Version Not Supported"
    }
  }
}

/// A reply.
public struct HTTPResponse: Sendable {
  public var status: HTTPStatus
  public var type: String
  public var body: [UInt8]
  /// Further fields; the server's own code writes them, never a peer.
  public var fields: [(name: String, value: String)] = []

  public init(_ status: HTTPStatus, type: String, body: [UInt8]) {
    self.status = status
    self.type = type
    self.body = body
  }

  /// Plain text; a line's end is added.
  public static func text(_ status: HTTPStatus, _ text: String) -> HTTPResponse {
    HTTPResponse(status, type: "text/plain; charset=utf-8", body: Array((text + "\n").utf8))
  }

  /// - Parameters:
  ///   - isHead: the body is left out and its length is told all the same (RFC 9110, section 9.3.2).
  ///   - time: Unix seconds.
  func encoded(isHead: Bool, keepsAlive: Bool, time: Int) -> [UInt8] {
    var head = "HTTP/1.1 \(status.rawValue) \(status.phrase)\r\nDate: \(Self.date(time))\r\n"
    head += "Content-Type: \(type)\r\nContent-Length: \(body.count)\r\n"
    head += "Connection: \(keepsAlive ? "keep-alive" : "close")\r\n"
    // Nothing here is for caches, frames, other sites or guesses about types.
    head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
    head += "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
    if status == .methodNotAllowed { head += "Allow: GET, HEAD\r\n" }
    for field in fields { head += "\(field.name): \(field.value)\r\n" }
    var bytes = Array((head + "\r\n").utf8)
    if !isHead { bytes.append(contentsOf: body) }
    return bytes
  }

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
