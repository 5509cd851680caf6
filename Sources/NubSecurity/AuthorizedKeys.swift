internal import Glibc
public import Logging
internal import NubZMQ
internal import Synchronization

/// The public keys that are admitted: the `*.pub` files of a directory, re-read when it changes.
///
/// A file is what `nub keygen` writes, with lines added by whoever admits it:
///
///     public-key = Z85, 40 characters
///     tenant = NAME        the only tenant that the key may act for; without it, any
///     role = client        or worker, or "client worker"; client unless said
///
/// A file that cannot be read or understood admits nobody; two files with one key that do not agree admit nobody either.
/// From any thread.
public final class AuthorizedKeys: Sendable {
  /// Names of lines that a public key's file may have.
  static let lineNames: Set<String> = ["public-key", "tenant", "role"]
  /// More files than this are not read: a directory of another purpose.
  static let maximumFiles = 65_536
  /// Bytes of a tenant's name, as the job protocol has it.
  static let tenantBytes = 64

  public let directory: String
  private let logger: Logger
  private let state: Mutex<State>

  private struct State {
    var signature: [FileSignature] = []
    var keys: [String: Principal] = [:]
  }

  /// What changes when a file's content is exchanged.
  private struct FileSignature: Equatable {
    var name: String
    var inode: UInt64
    var size: Int64
    var seconds: Int
    var nanoseconds: Int
    var changedSeconds: Int
    var changedNanoseconds: Int
  }

  /// - Throws: ``SecurityError`` when the directory cannot be read; unusable files in it are logged and skipped.
  public init(directory: String, logger: Logger) throws(SecurityError) {
    self.directory = directory
    self.logger = logger
    state = Mutex(State())
    try load()
  }

  /// Who has this key (Z85); `nil` for a key that is not, or no longer, admitted.
  public func principal(forKey key: String) -> Principal? {
    state.withLock { $0.keys[key] }
  }

  /// Who sent a message, by the `User-Id` that ``Authenticator`` gave its connection; `nil` when that one is no longer
  /// admitted. Asked for each message, because libzmq asks for each connection only: this is what makes a revoked key
  /// stop working at once.
  public func principal(forUserID userID: String?) -> Principal? {
    userID.flatMap { principal(forKey: $0) }
  }

  public var count: Int { state.withLock { $0.keys.count } }

  /// Reads the directory again if anything in it has changed. What cannot be read now leaves things as they were.
  /// - Returns: whether the admitted keys are different now.
  @discardableResult
  public func reloadIfChanged() -> Bool {
    do throws(SecurityError) {
      let before = state.withLock { $0.keys }
      guard try signature() != state.withLock({ $0.signature }) else { return false }
      try load()
      let after = state.withLock { $0.keys }
      guard before != after else { return false }
      logger.notice(
        "authorized keys changed", metadata: ["keys": "\(after.count)", "directory": "\(directory)"])
      return true
    } catch {
      logger.error("the authorized keys stay as they are", metadata: ["error": "\(error)"])
      return false
    }
  }

  private func load() throws(SecurityError) {
    // Taken first: a change during the reading is seen as one by the next look.
    let signature = try signature()
    var keys: [String: Principal] = [:]
    var disputed: Set<String> = []
    for file in signature {
      do throws(SecurityError) {
        let (key, principal) = try read(file.name)
        if let other = keys.updateValue(principal, forKey: key),
          other.tenant != principal.tenant || other.roles != principal.roles
        {
          disputed.insert(key)
          logger.error(
            "two files admit one key differently: neither counts",
            metadata: ["files": "\(other.name).pub, \(principal.name).pub"])
        }
      } catch {
        logger.error("a key file is not used", metadata: ["error": "\(error)"])
      }
    }
    for key in disputed { keys[key] = nil }
    state.withLock { $0 = State(signature: signature, keys: keys) }
  }

  private func read(_ name: String) throws(SecurityError) -> (String, Principal) {
    let path = "\(directory)/\(name)"
    return try Self.principal(try SmallFile.read(path, .authority), name: name, path: path)
  }

  /// Who a key file admits. Pure.
  static func principal(
    _ text: String, name: String, path: String
  ) throws(SecurityError) -> (String, Principal) {
    let lines = try KeyLines(text, path: path, allowed: lineNames)
    guard let key = lines.values["public-key"], CurveKey.decode(key) != nil else {
      throw SecurityError(.malformed, "\(path) has no valid public-key of 40 characters (Z85)")
    }
    var principal = Principal(name: String(name.dropLast(4)))
    if let tenant = lines.values["tenant"] {
      guard (1...tenantBytes).contains(tenant.utf8.count),
        tenant.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
      else {
        throw SecurityError(.malformed, "\(path): tenant is a name of 1 to \(tenantBytes) bytes")
      }
      principal.tenant = tenant
    }
    if let role = lines.values["role"] {
      principal.roles = []
      for word in role.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "\t" }) {
        switch word {
        case "client": principal.roles.insert(.client)
        case "worker": principal.roles.insert(.worker)
        default: throw SecurityError(.malformed, "\(path): role is client, worker or both")
        }
      }
      guard !principal.roles.isEmpty else { throw SecurityError(.malformed, "\(path): role is empty") }
    }
    return (key, principal)
  }

  private func signature() throws(SecurityError) -> [FileSignature] {
    guard let stream = opendir(directory) else { throw SmallFile.failure("cannot read directory", directory) }
    defer { closedir(stream) }
    var files: [FileSignature] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard name.hasSuffix(".pub"), !name.hasPrefix("."), name.utf8.count > 4 else { continue }
      guard files.count < Self.maximumFiles else {
        throw SecurityError(.malformed, "\(directory) has more than \(Self.maximumFiles) key files")
      }
      var status = stat()
      // Follows links: that is how container platforms mount keys, and a changed target is a change.
      guard stat("\(directory)/\(name)", &status) == 0 else { continue }
      files.append(
        FileSignature(
          name: name, inode: UInt64(status.st_ino), size: Int64(status.st_size),
          seconds: status.st_mtim.tv_sec,
          nanoseconds: status.st_mtim.tv_nsec, changedSeconds: status.st_ctim.tv_sec,
          changedNanoseconds: status.st_ctim.tv_nsec))
    }
    files.sort { $0.name < $1.name }
    return files
  }
}
