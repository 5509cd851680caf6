internal import Glibc

/// Which names a request may call this server by.
///
/// A web page anywhere can make its visitor's browser send requests to loopback, and read the answers once its own name resolves there
/// (DNS rebinding). Its name is then in the Host field; an address cannot be rebound. So addresses and `localhost` are good, and
/// other names only if the operator has given them.
public struct HostPolicy: Sendable {
  private let names: Set<String>
  /// A unix socket has no name that anybody could rebind.
  private let admitsAll: Bool

  public init(address: HTTPAddress, names: [String]) {
    self.names = Set(names.map { $0.lowercased() } + ["localhost"])
    admitsAll = if case .unix = address.kind { true } else { false }
  }

  public func admits(_ host: String?) -> Bool {
    // HTTP/1.0 without Host is no browser of this century.
    guard !admitsAll, let host else { return true }
    var name = host[...]
    if name.hasPrefix("[") {
      guard let end = name.firstIndex(of: "]") else { return false }
      let rest = name[name.index(after: end)...]
      var address = in6_addr()
      return Self.isPort(rest) && inet_pton(AF_INET6, String(name[..<end].dropFirst()), &address) == 1
    }
    if let colon = name.firstIndex(of: ":") {
      guard Self.isPort(name[colon...]) else { return false }
      name = name[..<colon]
    }
    var address = in_addr()
    return inet_pton(AF_INET, String(name), &address) == 1 || names.contains(name.lowercased())
  }

  private static func isPort(_ text: Substring) -> Bool {
    text.isEmpty
      || (text.first == ":" && text.utf8.count <= 6
        && text.utf8.dropFirst().allSatisfy { (48...57).contains($0) })
  }
}
