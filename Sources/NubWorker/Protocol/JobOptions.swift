internal import NubCap
internal import NubJSON

/// Frame 5 of a job, understood.
struct JobOptions: Sendable {
  /// The longest run time in milliseconds.
  var deadlineMilliseconds: UInt32?
  /// Unix time in milliseconds after which the job must not start.
  var expiresAtMilliseconds: UInt64?
  /// Empty for the default tenant.
  var tenant = ShortBytes()
  var priority: UInt8 = 5
  var fresh = false
  /// Caps to have in the directory first.
  var caps: [CapHash] = []
  /// W3C trace context: version, trace id, parent id, flags; 55 bytes in version 00.
  var traceparent: ShortBytes?
}

extension JobOptions {
  /// Whether nothing was asked for.
  var isDefault: Bool {
    deadlineMilliseconds == nil && expiresAtMilliseconds == nil && tenant.isEmpty && priority == 5 && !fresh
      && caps.isEmpty && traceparent == nil
  }

  /// The options as an object again, for the journal: what a worker understands of them, and nothing else.
  var json: [UInt8] {
    var members: [String] = []
    func text(_ bytes: ShortBytes) -> String {
      JSONString.quoted(String(decoding: bytes.array, as: UTF8.self))
    }
    if let deadlineMilliseconds { members.append("\"deadline_ms\":\(deadlineMilliseconds)") }
    if let expiresAtMilliseconds { members.append("\"expires_at_ms\":\(expiresAtMilliseconds)") }
    if !tenant.isEmpty { members.append("\"tenant\":\(text(tenant))") }
    if priority != 5 { members.append("\"priority\":\(priority)") }
    if fresh { members.append("\"fresh\":true") }
    if !caps.isEmpty { members.append("\"caps\":[\(caps.map { "\"\($0.hex)\"" }.joined(separator: ","))]") }
    if let traceparent { members.append("\"traceparent\":\(text(traceparent))") }
    return Array("{\(members.joined(separator: ","))}".utf8)
  }
}
