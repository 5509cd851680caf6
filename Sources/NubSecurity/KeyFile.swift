internal import Glibc
public import NubZMQ

/// The files of a key pair: `NAME.secret` (mode 0600) stays where it is used, `NAME.pub` is for those who shall admit it or
/// recognise it.
public struct KeyFile: Sendable {
  /// Path of the secret half, which holds the public key, too.
  public let secretPath: String
  /// Path of the public half.
  public let publicPath: String
  /// Z85, 40 characters.
  public let publicKey: String

  /// Makes a pair and its files; makes the directory (mode 0700) if it does not exist.
  ///
  /// - Parameter name: 1 to 64 letters, digits, `.`, `_` and `-`, not starting with a dot.
  /// - Throws: code `file` also when one of the files exists: no key is ever overwritten.
  public static func generate(name: String, in directory: String) throws(SecurityError) -> KeyFile {
    guard isName(name) else {
      throw SecurityError(
        .malformed, "\"\(name.prefix(80))\" cannot name a key: use 1 to 64 letters, digits, '.', '_' and '-'")
    }
    if mkdir(directory, 0o700) != 0, errno != EEXIST { throw SmallFile.failure("cannot make", directory) }
    let pair: CurveKeyPair
    do throws(ZMQError) {
      pair = try .generate()
    } catch {
      throw SecurityError(.resources, "cannot make a key pair: libzmq has no CURVE", cause: error)
    }
    let file = KeyFile(
      secretPath: "\(directory)/\(name).secret", publicPath: "\(directory)/\(name).pub",
      publicKey: pair.publicKey)
    guard access(file.publicPath, F_OK) != 0 else {
      throw SecurityError(.file, "\(file.publicPath) exists; nothing was written")
    }
    try SmallFile.create(
      file.secretPath, mode: 0o600,
      """
      # The secret key of \(name): whoever can read this file is \(name).
      public-key = \(pair.publicKey)
      secret-key = \(pair.secretKey)

      """)
    do throws(SecurityError) {
      try SmallFile.create(
        file.publicPath, mode: 0o644, "# The public key of \(name).\npublic-key = \(pair.publicKey)\n")
    } catch {
      unlink(file.secretPath)
      throw error
    }
    return file
  }

  /// Reads `NAME.secret`.
  ///
  /// - Throws: code `exposed` unless the file is this user's or root's and nobody else may read it.
  public static func readSecret(_ path: String) throws(SecurityError) -> CurveKeyPair {
    // Before its mode is complained of: nobody shall hide a public key from those whom it is for.
    if isPublic(path) {
      throw SecurityError(.malformed, "\(path) is a public key; the secret one is in NAME.secret beside it")
    }
    let lines = try KeyLines(
      try SmallFile.read(path, .secret), path: path, allowed: ["public-key", "secret-key"])
    guard let secret = lines.values["secret-key"], let publicKey = CurveKey.publicKey(ofSecret: secret) else {
      throw SecurityError(.malformed, "\(path) has no valid secret-key of 40 characters (Z85)")
    }
    if let stated = lines.values["public-key"], stated != publicKey {
      throw SecurityError(.malformed, "\(path): the public key does not belong to the secret one")
    }
    return CurveKeyPair(publicKey: publicKey, secretKey: secret)
  }

  /// Reads `NAME.pub`, or takes a printed key as it is.
  public static func readPublic(_ pathOrKey: String) throws(SecurityError) -> String {
    if CurveKey.decode(pathOrKey) != nil { return pathOrKey }
    let lines = try KeyLines(
      try SmallFile.read(pathOrKey, .authority), path: pathOrKey, allowed: AuthorizedKeys.lineNames)
    guard let key = lines.values["public-key"], CurveKey.decode(key) != nil else {
      throw SecurityError(.malformed, "\(pathOrKey) has no valid public-key of 40 characters (Z85)")
    }
    return key
  }

  /// Whether a file holds nothing but a public key and what goes with one.
  private static func isPublic(_ path: String) -> Bool {
    guard let text = try? SmallFile.read(path, .authority),
      let lines = try? KeyLines(text, path: path, allowed: AuthorizedKeys.lineNames)
    else { return false }
    return lines.values["public-key"] != nil
  }

  static func isName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count) && !name.hasPrefix(".")
      && name.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: true
        default: false
        }
      }
  }
}
