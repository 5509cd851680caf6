internal import NubSecurity
internal import NubZMQ

/// Who may send what, at doors that ask for keys.
extension FrontDesk {
  /// Checks the sender of the message that is being handled, and puts its tenant into `request`.
  ///
  /// Asked for each message, not for each connection: a revoked key's messages are refused from then on, although libzmq keeps
  /// its connection.
  /// - Returns: why it is refused, or nil.
  func authorize(_ request: inout JobRequest, _ door: Door) -> JobOutcome? {
    guard let keys = door.authorizedKeys else { return nil }
    guard let principal = keys.principal(forUserID: inbound.userID), principal.roles.contains(.client) else {
      return JobOutcome(.unauthorized, message: "this key is not admitted as a producer")
    }
    guard let name = principal.tenant else { return nil }
    // At most 64 bytes, as the key's file was checked to say.
    guard let tenant = ShortBytes(name), request.options.tenant.isEmpty || request.options.tenant == tenant
    else {
      return JobOutcome(.unauthorized, message: "this key may not act for that tenant")
    }
    request.options.tenant = tenant
    request.hasKeysTenant = true
    return nil
  }
}
