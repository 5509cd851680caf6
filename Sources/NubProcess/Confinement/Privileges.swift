internal import CNubProcess
internal import Foundation
internal import Glibc

/// An account of this machine.
public struct UserAccount: Sendable, Equatable {
  public let name: String
  public let user: UInt32
  public let group: UInt32
  /// All groups, the first included.
  public let groups: [UInt32]

  /// - Throws: code `unknownUser`.
  public init(named name: String) throws(ProcessError) {
    errno = 0
    // Before there are threads, so the static buffer is nobody else's.
    guard let entry = getpwnam(name) else {
      throw ProcessError(
        .unknownUser, "there is no user \"\(name.prefix(64))\" on this machine", errno: errno)
    }
    self.name = name
    user = entry.pointee.pw_uid
    group = entry.pointee.pw_gid
    var count: Int32 = 64
    var list = [gid_t](repeating: 0, count: Int(count))
    if getgrouplist(name, group, &list, &count) < 0 {
      list = [gid_t](repeating: 0, count: Int(max(0, count)))
      guard getgrouplist(name, group, &list, &count) >= 0 else {
        throw ProcessError(.unknownUser, "the groups of user \"\(name.prefix(64))\" cannot be found")
      }
    }
    groups = Array(list.prefix(Int(count)))
  }
}

/// What this process may do, and giving it up.
public enum Privileges {
  public static var isRoot: Bool { geteuid() == 0 }

  /// Becomes `account`, for good. Nothing happens if this process is that user already. Call it on the main thread before there are
  /// others.
  ///
  /// - Throws: code `configuration` for what cannot be meant; code `system` where the kernel refuses, and then the process must end.
  public static func drop(to account: UserAccount) throws(ProcessError) {
    guard account.user != 0 else {
      throw ProcessError(.configuration, "user \"\(account.name)\" is root: that gives nothing up")
    }
    guard isRoot else {
      guard geteuid() == account.user, getuid() == account.user else {
        throw ProcessError(
          .configuration, "only root can become user \"\(account.name)\"; this process is user \(geteuid())")
      }
      return
    }
    try ProcessError.check(
      nub_drop_to(account.user, account.group, account.groups, account.groups.count),
      "cannot become user \"\(account.name)\"")
    try checkThreads(account)
  }

  /// The kernel knows users by thread. glibc changes all that it knows of, and passes over those that it thinks are ending: among
  /// them a main thread that waits in `dispatch_main()`, which would stay root.
  private static func checkThreads(_ account: UserAccount) throws(ProcessError) {
    let wanted = "Uid:" + String(repeating: "\t\(account.user)", count: 4)
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    guard !threads.isEmpty else {
      throw ProcessError(.system, "cannot see in /proc/self/task that no thread is root")
    }
    for thread in threads {
      // One that has ended meanwhile is nobody.
      guard let status = try? String(contentsOfFile: "/proc/self/task/\(thread)/status", encoding: .utf8)
      else {
        continue
      }
      guard status.split(separator: "\n").contains(Substring(wanted)) else {
        throw ProcessError(.system, "thread \(thread) stays root: users are changed before threads are made")
      }
    }
  }

  /// No program that this process starts gets more rights than it has (prctl(2), PR_SET_NO_NEW_PRIVS).
  public static func allowNoNew() throws(ProcessError) {
    try ProcessError.check(nub_no_new_privileges(), "cannot give up new privileges")
  }

  /// Whether a fault may leave a core file, and a debugger of the same user may attach: this process's memory holds what tenants sent.
  /// Set it after a change of user, with which the kernel decides anew (prctl(2), PR_SET_DUMPABLE).
  public static func allowDumps(_ isAllowed: Bool) throws(ProcessError) {
    try ProcessError.check(nub_set_dumpable(isAllowed ? 1 : 0), "cannot decide about core files")
  }

  /// Whether a fault of this process may leave a core file.
  public static var isDumpable: Bool { nub_is_dumpable() == 1 }
}
