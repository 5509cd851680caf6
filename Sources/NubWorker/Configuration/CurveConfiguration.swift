internal import NubBroker
internal import NubSecurity
internal import NubZMQ

/// Where CURVE keys are. It holds on TCP endpoints: those that bind are servers and admit the authorized keys, those that connect
/// are clients and need the server's key. `ipc` is protected by the file system.
public struct CurveConfiguration: Sendable, Equatable {
  /// Path of this worker's `NAME.secret` (`nub keygen`).
  public var secretKeyPath: String
  /// The directory of admitted peers' `*.pub` files; needed by endpoints that bind.
  public var authorizedKeysPath: String?
  /// The server's public key, printed or as the path of its `NAME.pub`; needed by endpoints that connect.
  public var serverKey: String?

  public init(secretKeyPath: String, authorizedKeysPath: String? = nil, serverKey: String? = nil) {
    self.secretKeyPath = secretKeyPath
    self.authorizedKeysPath = authorizedKeysPath
    self.serverKey = serverKey
  }

  /// Whether the keys that an endpoint of this kind needs were named.
  func encrypts(_ endpoint: Endpoint) -> Bool {
    guard endpoint.address.hasPrefix("tcp://") else { return false }
    return switch endpoint.attachment {
    case .bind: authorizedKeysPath != nil
    case .connect: serverKey != nil
    }
  }
}

extension WorkerConfiguration {
  func validateFleets() throws(WorkerError) {
    for case .fleet(let broker, let service, let slots) in doors {
      guard broker.attachment == .connect else {
        throw WorkerError(.configuration, "a worker connects to its broker: \(broker) binds")
      }
      for name in [service, "\(service).\(name)"] where !MajordomoWorker.isServiceName(name) {
        throw WorkerError(
          .configuration, "\"\(name)\" cannot name a service: 1 to 255 printable ASCII characters are allowed"
        )
      }
      guard !service.hasPrefix("mmi.") else {
        throw WorkerError(.configuration, "services that start with mmi. are the broker's own (RFC 8)")
      }
      guard (1...4_096).contains(slots) else {
        throw WorkerError(.configuration, "fleet slots: \(slots); 1 to 4096 are allowed")
      }
    }
  }
}

/// The keys themselves, read once at the start, and the handler that asks for peers' keys.
struct CurveGuard {
  let keys: CurveKeyPair
  let server: CurveServer
  let serverKey: String?
  let authenticator: Authenticator?

  /// - Throws: ``WorkerError`` with code `configuration` when a key file cannot be used.
  init(_ configuration: CurveConfiguration, context: Context, worker: WorkerConfiguration) throws(WorkerError)
  {
    do throws(SecurityError) {
      keys = try KeyFile.readSecret(configuration.secretKeyPath)
      server = CurveServer(keys: keys)
      serverKey = try configuration.serverKey.map { (key) throws(SecurityError) in try KeyFile.readPublic(key)
      }
      authenticator = try configuration.authorizedKeysPath.map { (path) throws(SecurityError) in
        try Authenticator(
          context: context, keys: AuthorizedKeys(directory: path, logger: worker.logger),
          logger: worker.logger)
      }
    } catch {
      throw WorkerError(.configuration, "CURVE: \(error.message)", cause: error)
    }
  }

  /// The keys whose owners' messages come in at an endpoint; nil where everybody's do.
  func keys(for endpoint: Endpoint) -> AuthorizedKeys? {
    guard endpoint.address.hasPrefix("tcp://"), endpoint.attachment == .bind else { return nil }
    return authenticator?.keys
  }

  var client: CurveClient? { serverKey.map { CurveClient(keys: keys, serverKey: $0) } }
}
