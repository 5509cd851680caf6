internal import CZeroMQ
internal import NubSecurity
internal import NubZMQ

extension Socket {
  /// Makes this socket ready for its endpoint: encrypted on TCP where keys were given, plain otherwise. Before `attach`.
  ///
  /// - Parameter isForAllTenants: whether whoever connects gets what is every tenant's, so that no key of a single one may.
  /// - Returns: the keys whose owners' messages come in here, nil where everybody's do.
  func encrypt(
    for endpoint: Endpoint, _ curve: CurveGuard?, isForAllTenants: Bool = false
  ) throws(ZMQError) -> AuthorizedKeys? {
    guard let curve, endpoint.address.hasPrefix("tcp://") else { return nil }
    switch endpoint.attachment {
    case .bind:
      guard let authenticator = curve.authenticator else { return nil }
      try set(ZMQ_CURVE_SERVER, Int32(1))
      try set(ZMQ_CURVE_SECRETKEY, curve.server.keys.secretKey)
      try set(ZMQ_ZAP_DOMAIN, isForAllTenants ? CurveServer.allTenantsDomain : curve.server.domain)
      // ZMQ_ZAP_ENFORCE_DOMAIN, whose name zmq.h shows to draft builds only: no handler, no admission.
      try set(93, Int32(1))
      return authenticator.keys
    case .connect:
      guard let client = curve.client else { return nil }
      try set(ZMQ_CURVE_SERVERKEY, client.serverKey)
      try set(ZMQ_CURVE_PUBLICKEY, client.keys.publicKey)
      try set(ZMQ_CURVE_SECRETKEY, client.keys.secretKey)
      return nil
    }
  }

  private func set(_ option: Int32, _ text: String) throws(ZMQError) {
    // The error names the option, never the value.
    guard zmq_setsockopt(handle, option, text, text.utf8.count) == 0 else {
      throw .last("zmq_setsockopt(\(option))")
    }
  }
}
