internal import Glibc

/// Which endpoints may go without encryption.
public enum EndpointPolicy {
  /// Refuses plaintext that other machines can reach.
  ///
  /// - Parameters:
  ///   - endpoint: as libzmq takes it: `tcp://HOST:PORT` (or `tcp://SOURCE;HOST:PORT`), `ipc://PATH`, `inproc://NAME`.
  ///   - isEncrypted: whether the socket uses CURVE.
  ///   - allowsInsecure: the operator's `--insecure`.
  /// - Throws: ``SecurityError`` with code `plaintext`.
  public static func check(
    _ endpoint: String, isEncrypted: Bool, allowsInsecure: Bool
  ) throws(SecurityError) {
    guard !isEncrypted, !allowsInsecure, leavesMachine(endpoint) else { return }
    throw SecurityError(
      .plaintext,
      "\(endpoint) can be reached from other machines and is not encrypted; use CURVE keys (nub keygen), or --insecure"
    )
  }

  /// Whether another machine may be at the other end. What is not known to stay here counts as leaving: other transports,
  /// host names (whoever answers for the name decides), wildcards.
  public static func leavesMachine(_ endpoint: String) -> Bool {
    if endpoint.hasPrefix("ipc://") || endpoint.hasPrefix("inproc://") { return false }
    guard endpoint.hasPrefix("tcp://") else { return true }
    // zmq_tcp(7): the peer's address follows a source address and a semicolon.
    let address = endpoint.dropFirst(6).split(separator: ";", omittingEmptySubsequences: false).last ?? ""
    guard let colon = address.lastIndex(of: ":") else { return true }
    let host = address[..<colon]
    if host == "localhost" || host == "lo" { return false }
    if host.hasPrefix("["), host.hasSuffix("]") {
      var parsed = in6_addr()
      guard inet_pton(AF_INET6, String(host.dropFirst().dropLast()), &parsed) == 1 else { return true }
      return !withUnsafeBytes(of: parsed) { $0.dropLast().allSatisfy { $0 == 0 } && $0.last == 1 }
    }
    var parsed = in_addr()
    guard inet_pton(AF_INET, String(host), &parsed) == 1 else { return true }
    // 127.0.0.0/8 (RFC 1122, section 3.2.1.3); in network order, so the first byte is the lowest.
    return withUnsafeBytes(of: parsed) { $0.first != 127 }
  }
}
