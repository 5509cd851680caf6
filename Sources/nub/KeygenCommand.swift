import ArgumentParser
import NubSecurity

/// `nub keygen`: a CURVE key pair for a worker, a broker or a producer.
struct KeygenCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keygen",
    abstract: "Make a CURVE key pair.",
    discussion: """
      Writes NAME.secret (mode 0600: whoever can read it is NAME) and NAME.pub. To admit NAME, copy NAME.pub into the \
      authorized-keys directory of a worker or broker, and add lines there if it shall act for one tenant only \
      (tenant = T) or register as a worker (role = worker). An existing key is never overwritten.
      """)

  @Option(help: "The keys' name: letters, digits, '.', '_' and '-'.")
  var name = "nub"

  @Argument(help: "Where the files are written; made with mode 0700 if it does not exist.")
  var directory = "."

  mutating func run() throws {
    let file = try KeyFile.generate(name: name, in: directory)
    print("secret key: \(file.secretPath)")
    print("public key: \(file.publicPath)")
    print(file.publicKey)
  }
}
