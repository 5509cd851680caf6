internal import NubCap

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
