/// Who is at the other end of a connection, and what that one may do.
public struct Principal: Sendable, Hashable {
  /// What a peer may be, as a set.
  public struct Roles: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// May send jobs.
    public static let client = Roles(rawValue: 1)
    /// May register with a broker, and so sees the jobs of every tenant.
    public static let worker = Roles(rawValue: 2)
  }

  /// The key file's name without `.pub`, for logs.
  public var name: String
  /// The only tenant that it may act for; `nil`: any that its messages name.
  public var tenant: String?
  public var roles: Roles

  public init(name: String, tenant: String? = nil, roles: Roles = .client) {
    self.name = name
    self.tenant = tenant
    self.roles = roles
  }

  /// Everybody, where no keys are asked for: on `ipc`, on loopback, or with `--insecure`.
  public static let anonymous = Principal(name: "anonymous", roles: [.client, .worker])
}
