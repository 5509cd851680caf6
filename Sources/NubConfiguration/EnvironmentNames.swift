internal import Foundation

/// The `NUB_*` variables of a process: which are settings, which belong to somebody else, and which are mistakes.
public struct EnvironmentNames: Sendable {
  /// Names that mean something to another command or to a tool of this project.
  private let known: Set<String>

  /// - Parameters:
  ///   - settings: names of settings of this command and of the others, which share an environment.
  ///   - tools: what tests and scripts read.
  public init(settings: [String], tools: [String]) {
    known = Set(settings).union(tools)
  }

  /// - Throws: ``SettingError`` with code `unknownName` for the first variable, by name, that nobody knows.
  public func check(_ environment: [String: String]) throws(SettingError) {
    for name in environment.keys.filter({ $0.hasPrefix("NUB_") }).sorted()
    where !known.contains(name) && !isServiceLink(name) {
      throw SettingError(
        .unknownName,
        "the environment variable \(name) is unknown\(Suggestion.text(for: name, among: known))")
    }
  }

  /// Kubernetes tells each container of each Service in its namespace, and one of those may well be called `nub` or
  /// `nub-worker`: NUB_SERVICE_HOST, NUB_WORKER_PORT_7700_TCP_ADDR.
  private func isServiceLink(_ name: String) -> Bool {
    name.wholeMatch(of: #/NUB(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?)/#) != nil
      || name.wholeMatch(of: #/NUB(_[A-Z0-9_]+)?_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?/#) != nil
  }
}
