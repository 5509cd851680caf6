import NubBroker

/// A job's options, as worker and broker read them: what the worker accepts both understand the same, and what the broker makes of them
/// for a key that is bound to a tenant names that tenant, to the worker, too.
public func fuzzOptions(_ input: UnsafeRawBufferPointer) {
  guard input.count <= ProtocolLimits.optionsBytes else { return }
  let worker = try? JobOptions(json: input.bytes)
  let broker = brokerOptions(input)
  if let worker {
    check(worker)
    guard let broker else { fatalError("the broker refuses what the worker takes") }
    require((broker.tenant ?? []) == worker.tenant.array, "broker and worker read another tenant")
    require(broker.priority == worker.priority, "broker and worker read another priority")
    require(broker.expires == worker.expiresAtMilliseconds, "broker and worker read another expiry")
  }
  for tenant in ["acme", "\"\\\u{1}é"] {
    guard let text = brokerOptions(input, naming: tenant) else { continue }
    text.withUnsafeBytes { bytes in
      // The worker may refuse what the broker does not look at; what it takes has the key's tenant.
      guard let options = try? JobOptions(json: bytes.bytes) else { return }
      require(options.tenant.array == Array(tenant.utf8), "a key's tenant can be got around")
    }
  }
}
