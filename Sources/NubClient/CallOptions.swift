public import NubCap
internal import NubJSON

/// Options of a call; all optional.
public struct CallOptions: Sendable, Hashable {
  /// How long the function may run.
  public var deadline: Duration?
  /// Unix time in milliseconds after which the call must not start.
  public var expiresAtMilliseconds: UInt64?
  /// At most 64 bytes of UTF-8; instead of the client's.
  public var tenant: String?
  /// 0 to 9, 5 by default.
  public var priority: Int?
  /// Run in a sandbox that was restored to its first state.
  public var fresh: Bool?
  /// Hashes of caps to have in the guest's directory first.
  public var needs: [CapHash]
  /// W3C trace context.
  public var traceparent: String?

  public init(
    deadline: Duration? = nil, expiresAtMilliseconds: UInt64? = nil, tenant: String? = nil,
    priority: Int? = nil,
    fresh: Bool? = nil, needs: [CapHash] = [], traceparent: String? = nil
  ) {
    self.deadline = deadline
    self.expiresAtMilliseconds = expiresAtMilliseconds
    self.tenant = tenant
    self.priority = priority
    self.fresh = fresh
    self.needs = needs
    self.traceparent = traceparent
  }

  /// The options frame: empty when there is nothing to say.
  func json(defaultTenant: String?) -> [UInt8] {
    var fields: [String] = []
    if let deadline {
      let (seconds, attoseconds) = deadline.components
      // Whole milliseconds, at least one: 0 would mean something else.
      let milliseconds = max(1, min(seconds, Int64.max / 2000) * 1000 + attoseconds / 1_000_000_000_000_000)
      fields.append("\"deadline_ms\":\(milliseconds)")
    }
    if let expiresAtMilliseconds { fields.append("\"expires_at_ms\":\(expiresAtMilliseconds)") }
    if let tenant = tenant ?? defaultTenant { fields.append("\"tenant\":\(JSONString.quoted(tenant))") }
    if let priority { fields.append("\"priority\":\(priority)") }
    if let fresh { fields.append("\"fresh\":\(fresh)") }
    if !needs.isEmpty { fields.append("\"caps\":[\(needs.map { "\"\($0.hex)\"" }.joined(separator: ","))]") }
    if let traceparent { fields.append("\"traceparent\":\(JSONString.quoted(traceparent))") }
    return fields.isEmpty ? [] : Array("{\(fields.joined(separator: ","))}".utf8)
  }
}
