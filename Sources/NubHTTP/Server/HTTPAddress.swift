internal import Glibc
internal import NubSecurity

/// Where to listen: `PORT` (on 127.0.0.1), `HOST:PORT` with an address or `localhost`, `[V6]:PORT`, or `unix:PATH`.
public struct HTTPAddress: Sendable, Equatable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    case ip4(String, UInt16)
    case ip6(String, UInt16)
    case unix(String)
  }

  public var kind: Kind

  public init(parsing text: String) throws(HTTPError) {
    if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      // sun_path of unix(7), with its terminating zero.
      guard !path.isEmpty, path.utf8.count <= 107 else {
        throw HTTPError("--http \(text): a socket's path has 1 to 107 bytes")
      }
      kind = .unix(path)
      return
    }
    let parts = text.lastIndex(of: ":").map { (host: text[..<$0], port: text[text.index(after: $0)...]) }
    let digits = parts?.port ?? text[...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(digits)
    else {
      throw HTTPError("--http \(text): PORT is 0 to 65535, as in 9190, 127.0.0.1:9190 or [::1]:9190")
    }
    var host = parts.map { String($0.host) } ?? "127.0.0.1"
    if host == "localhost" { host = "127.0.0.1" }
    if host == "*" { host = "0.0.0.0" }
    if host.hasPrefix("["), host.hasSuffix("]") {
      var address = in6_addr()
      host = String(host.dropFirst().dropLast())
      guard inet_pton(AF_INET6, host, &address) == 1 else {
        throw HTTPError("--http \(text): \(host) is no IPv6 address")
      }
      kind = .ip6(host, port)
    } else {
      var address = in_addr()
      guard inet_pton(AF_INET, host, &address) == 1 else {
        throw HTTPError(
          "--http \(text): \(host) is no address; names are not looked up, so that it is clear who can reach it"
        )
      }
      kind = .ip4(host, port)
    }
  }

  public var description: String {
    switch kind {
    case .ip4(let host, let port): "\(host):\(port)"
    case .ip6(let host, let port): "[\(host)]:\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  /// Whether other machines can reach it.
  public var leavesMachine: Bool {
    switch kind {
    case .unix: false
    case .ip4, .ip6: EndpointPolicy.leavesMachine("tcp://\(description)")
    }
  }

  /// The policy for TCP without encryption, as for the doors.
  public func check(allowsInsecure: Bool) throws(HTTPError) {
    guard leavesMachine, !allowsInsecure else { return }
    throw HTTPError(
      "--http \(self) can be reached from other machines, without encryption and without asking who comes; "
        + "put a proxy that does both in front of a loopback port, or say --http-insecure")
  }
}

/// Why there is no HTTP, in words for the operator.
public struct HTTPError: Error, CustomStringConvertible, Sendable {
  public var message: String
  public init(_ message: String) { self.message = message }
  public var description: String { message }

  static func system(_ what: String) -> HTTPError {
    HTTPError("\(what): \(String(cString: strerror(errno)))")
  }
}
