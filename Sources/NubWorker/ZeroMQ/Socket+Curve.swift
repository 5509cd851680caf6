internal import CZeroMQ
internal import NubSecurity
internal import NubZMQ

extension Socket {
  /// Makes this socket ready for its endpoint: encrypted on TCP where keys were given, plain otherwise. Before `attach`.
  ///
  /// - Parameter isForAllTenants: whether whoever connects gets what is every tenant's, so that no key of a single one may.
  func encrypt(
    for endpoint: Endpoint, _ curve: CurveGuard?, isForAllTenants: Bool = false
  ) throws(ZMQError) {
    guard let curve, endpoint.address.hasPrefix("tcp://") else { return }
    switch endpoint.attachment {
    case .bind:
      guard curve.authenticator != nil else { return }
      try set(ZMQ_CURVE_SERVER, Int32(1))
      try set(ZMQ_CURVE_SECRETKEY, curve.server.keys.secretKey)
      try set(ZMQ_ZAP_DOMAIN, isForAllTenants ? CurveServer.allTenantsDomain : curve.server.domain)
      // ZMQ_ZAP_ENFORCE_DOMAIN, whose name zmq.h shows to draft builds only: no handler, no admission.
      try set(93, Int32(1))
    case .connect:
      guard let client = curve.client else { return }
      try set(ZMQ_CURVE_SERVERKEY, client.serverKey)
      try set(ZMQ_CURVE_PUBLICKEY, client.keys.publicKey)
      try set(ZMQ_CURVE_SECRETKEY, client.keys.secretKey)
    }
  }

  private func set(_ option: Int32, _ text: String) throws(ZMQError) {
    // The error names the option, never the value.
    guard zmq_setsockopt(handle, option, text, text.utf8.count) == 0 else {
      throw .last("zmq_setsockopt(\(option))")
    }
  }
}
