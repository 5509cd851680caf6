internal import NubSecurity
internal import NubZMQ

extension Socket {
  /// Makes this socket ready for its endpoint: encrypted on TCP where keys were given, plain otherwise. Before `attach`.
  ///
  /// - Parameter isForAllTenants: whether whoever connects gets what is every tenant's, so that no key of a single one may.
  mutating func encrypt(
    for endpoint: Endpoint, _ curve: CurveGuard?, isForAllTenants: Bool = false
  ) throws(ZMQError) {
    guard let curve, endpoint.address.hasPrefix("tcp://") else { return }
    switch endpoint.attachment {
    case .bind:
      guard curve.authenticator != nil else { return }
      let domain = isForAllTenants ? CurveServer.allTenantsDomain : curve.server.domain
      try CurveServer(keys: curve.keys, domain: domain).apply(to: &self)
    case .connect:
      try curve.client?.apply(to: &self)
    }
  }
}
