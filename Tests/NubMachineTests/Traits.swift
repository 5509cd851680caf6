import Foundation
import Testing

@testable import NubMachine

/// What this machine can do, found out once and said on the console.
enum Machine {
  static let kvm: KVMStatus = {
    let status = KVMStatus.check()
    if !status.isUsable {
      FileHandle.standardError.write(
        Data("tests that need KVM are SKIPPED: \(status.summary)\n".utf8))
    }
    return status
  }()

  /// Long forms of the tests of races, leaks and many sandboxes.
  static let isLong = ProcessInfo.processInfo.environment["NUB_LONG_TESTS"] == "1"
}

extension Trait where Self == ConditionTrait {
  static var needsKVM: Self { .enabled(if: Machine.kvm.isUsable, "KVM is not usable here, see the console") }
}
