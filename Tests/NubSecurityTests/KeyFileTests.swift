import Foundation
import Logging
import NubSecurity
import NubZMQ
import Testing

/// A directory that goes away with the test.
final class Scratch {
  let path: String
  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("nub-keys-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ name: String, _ text: String, mode: Int = 0o644) throws {
    let file = "\(path)/\(name)"
    // Replaced as a whole, as an operator's tool would do it.
    try text.write(toFile: file + ".tmp", atomically: false, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file + ".tmp")
    #expect(rename(file + ".tmp", file) == 0)
  }

  func remove(_ name: String) -> Bool { unlink("\(path)/\(name)") == 0 }

  func mode(_ name: String) throws -> Int {
    let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")
    return (attributes[.posixPermissions] as? Int) ?? -1
  }
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

@Suite("Key files")
struct KeyFileTests {
  @Test("a new pair's secret is its owner's alone, and both halves are read back")
  func generate() throws {
    let scratch = try Scratch()
    let file = try KeyFile.generate(name: "alice", in: scratch.path)
    #expect(try scratch.mode("alice.secret") == 0o600)
    #expect(try scratch.mode("alice.pub") == 0o644)
    let pair = try KeyFile.readSecret(file.secretPath)
    #expect(pair.publicKey == file.publicKey)
    #expect(try KeyFile.readPublic(file.publicPath) == file.publicKey)
    #expect(try KeyFile.readPublic(file.publicKey) == file.publicKey)
    let text = try String(contentsOfFile: file.publicPath, encoding: .utf8)
    #expect(!text.contains(pair.secretKey))
  }

  @Test("a public key in a secret one's place is called one", arguments: [0o644, 0o600, 0o444])
  func publicAsSecret(mode: Int) throws {
    let scratch = try Scratch()
    let file = try KeyFile.generate(name: "me", in: scratch.path)
    let text = try String(contentsOfFile: file.publicPath, encoding: .utf8)
    try scratch.write("me.pub", text + "tenant = acme\n", mode: mode)
    do throws(SecurityError) {
      _ = try KeyFile.readSecret(file.publicPath)
      Issue.record("accepted")
    } catch {
      #expect(error.code == .malformed && error.message.contains("me.pub is a public key"), "\(error)")
    }
    // A secret that others can read is still that.
    let secret = try String(contentsOfFile: file.secretPath, encoding: .utf8)
    try scratch.write("me.secret", secret, mode: 0o644)
    #expect(throws: SecurityError.self) { try KeyFile.readSecret(file.secretPath) }
  }

  @Test("no key is overwritten")
  func overwrite() throws {
    let scratch = try Scratch()
    let first = try KeyFile.generate(name: "a", in: scratch.path)
    #expect(throws: SecurityError.self) { try KeyFile.generate(name: "a", in: scratch.path) }
    #expect(try KeyFile.readSecret(first.secretPath).publicKey == first.publicKey)
  }

  @Test(
    "a name cannot leave its directory",
    arguments: ["", ".", "..", "../x", "a/b", ".hidden", "a b", "ä", "a\n"])
  func names(name: String) throws {
    let scratch = try Scratch()
    #expect(throws: SecurityError.self) { try KeyFile.generate(name: name, in: scratch.path) }
  }

  @Test("a secret that others can read is refused", arguments: [0o640, 0o604, 0o644, 0o620])
  func exposed(mode: Int) throws {
    let scratch = try Scratch()
    let file = try KeyFile.generate(name: "a", in: scratch.path)
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file.secretPath)
    let error = #expect(throws: SecurityError.self) { try KeyFile.readSecret(file.secretPath) }
    #expect(error?.code == .exposed)
  }

  @Test(
    "a file that is no key file is refused, whatever it is",
    arguments: [
      "", "secret-key", "secret-key = short", "nonsense = 1", "\u{0}\u{0}",
      String(repeating: "#", count: 5_000),
    ])
  func malformed(text: String) throws {
    let scratch = try Scratch()
    try scratch.write("x.secret", text, mode: 0o600)
    #expect(throws: SecurityError.self) { try KeyFile.readSecret("\(scratch.path)/x.secret") }
    #expect(throws: SecurityError.self) { try KeyFile.readSecret(scratch.path) }
    #expect(throws: SecurityError.self) { try KeyFile.readSecret("\(scratch.path)/missing") }
  }

  @Test("a pipe in a file's place does not stop anybody")
  func pipe() throws {
    let scratch = try Scratch()
    #expect(mkfifo("\(scratch.path)/x.secret", 0o600) == 0)
    #expect(throws: SecurityError.self) { try KeyFile.readSecret("\(scratch.path)/x.secret") }
  }

  @Test("keys are admitted with what their files say, and again when those change")
  func authorized() throws {
    let scratch = try Scratch()
    let a = try CurveKeyPair.generate().publicKey
    let b = try CurveKeyPair.generate().publicKey
    try scratch.write("a.pub", "public-key = \(a)\ntenant = acme\n")
    try scratch.write("b.pub", "# b\npublic-key=\(b)\nrole = worker\n")
    let keys = try AuthorizedKeys(directory: scratch.path, logger: quiet)
    #expect(keys.principal(forKey: a) == Principal(name: "a", tenant: "acme", roles: .client))
    #expect(keys.principal(forUserID: b) == Principal(name: "b", roles: .worker))
    #expect(keys.principal(forUserID: nil) == nil)
    #expect(keys.principal(forUserID: "") == nil)
    #expect(!keys.reloadIfChanged())
    try scratch.write("a.pub", "public-key = \(a)\ntenant = other\nrole = client worker\n")
    #expect(keys.reloadIfChanged())
    #expect(keys.principal(forKey: a) == Principal(name: "a", tenant: "other", roles: [.client, .worker]))
    #expect(unlink("\(scratch.path)/a.pub") == 0)
    #expect(keys.reloadIfChanged())
    #expect(keys.principal(forKey: a) == nil)
    #expect(keys.count == 1)
  }

  @Test(
    "a file that cannot be understood admits nobody",
    arguments: [
      "tenant = x", "public-key = KEY\ntenant =\n", "public-key = KEY\ntennant = x\n",
      "public-key = KEY\nrole = admin\n",
      "public-key = KEY\nrole =\n", "public-key = KEY\ntenant = a\ntenant = b\n", "public-key = KEYX",
      "public-key = KEY\ntenant = \(String(repeating: "x", count: 65))\n", "KEY",
    ])
  func misunderstood(text: String) throws {
    let scratch = try Scratch()
    let key = try CurveKeyPair.generate().publicKey
    try scratch.write("a.pub", text.replacingOccurrences(of: "KEY", with: key))
    #expect(try AuthorizedKeys(directory: scratch.path, logger: quiet).count == 0)
  }

  @Test("a file that others may write admits nobody, and two that disagree admit nobody")
  func untrusted() throws {
    let scratch = try Scratch()
    let key = try CurveKeyPair.generate().publicKey
    try scratch.write("a.pub", "public-key = \(key)\n", mode: 0o666)
    let keys = try AuthorizedKeys(directory: scratch.path, logger: quiet)
    #expect(keys.count == 0)
    try scratch.write("a.pub", "public-key = \(key)\ntenant = a\n")
    try scratch.write("b.pub", "public-key = \(key)\ntenant = b\n")
    keys.reloadIfChanged()
    #expect(keys.count == 0)
  }

  @Test("a directory that cannot be read is an error at the start, and changes nothing later")
  func directory() throws {
    #expect(throws: SecurityError.self) { try AuthorizedKeys(directory: "/nonexistent", logger: quiet) }
  }

  @Test(
    "printed keys are checked",
    arguments: ["", "short", String(repeating: "~", count: 40), String(repeating: "#", count: 40)])
  func print(text: String) {
    #expect(CurveKey.decode(text) == nil)
  }
}
