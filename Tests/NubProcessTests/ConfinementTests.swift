import CNubProcess
import Foundation
import Glibc
import Testing

@testable import NubProcess

/// Each in a process of its own: what is given up does not come back.
@Suite("What a process gives up")
struct ConfinementTests {
  @Test("every call of the list fails with EPERM, in threads that were there before, too")
  func refused() async {
    await #expect(processExitsWith: .success) {
      // A thread that waits until the filter is there.
      let pipe = Pipe()
      let other = Thread {
        _ = pipe.fileHandleForReading.readData(ofLength: 1)
        exit(
          nub_system_call(Int(SystemCallFilter.number(of: "unshare")), 0, 0, 0, 0, 0, 0) == -Int(EPERM)
            ? 0 : 3)
      }
      other.start()
      try Privileges.allowNoNew()
      try SystemCallFilter.install()
      for call in SystemCallFilter.refusedCalls {
        // Arguments that would do no harm, should the call go through.
        let result = nub_system_call(Int(call.number), -1, 0, 0, 0, 0, 0)
        guard result == -Int(EPERM) else {
          print("\(call.name) answered \(result)")
          exit(2)
        }
      }
      pipe.fileHandleForWriting.write(Data([1]))
      while true { sleep(1) }
    }
  }

  @Test("threads can be made, processes and namespaces cannot")
  func clones() async {
    await #expect(processExitsWith: .success) {
      try Privileges.allowNoNew()
      try SystemCallFilter.install()
      let clone = Int(nub_call_number(Int32(NUB_CALL_CLONE)))
      guard nub_system_call(clone, Int(SIGCHLD), 0, 0, 0, 0, 0) == -Int(EPERM) else { exit(2) }
      let spaces = 0x1000_0000 | 0x0001_0000 | 0x0800 | 0x0100
      guard nub_system_call(clone, spaces, 0, 0, 0, 0, 0) == -Int(EPERM) else { exit(3) }
      guard nub_system_call(Int(nub_call_number(Int32(NUB_CALL_CLONE3))), 0, 0, 0, 0, 0, 0) == -Int(ENOSYS)
      else {
        exit(4)
      }
      var child = pid_t()
      var words: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
      guard posix_spawn(&child, "/bin/true", nil, nil, &words, environ) == EPERM else { exit(5) }
      let thread = Thread { exit(0) }
      thread.start()
      while true { sleep(1) }
    }
  }

  @Test("sockets of the usual families only; no memory that is written and run")
  func arguments() async {
    await #expect(processExitsWith: .success) {
      try Privileges.allowNoNew()
      try SystemCallFilter.install()
      for family in [AF_UNIX, AF_INET, AF_INET6] {
        let descriptor = socket(family, Int32(SOCK_DGRAM.rawValue), 0)
        guard descriptor >= 0 || errno != EPERM else { exit(2) }
        close(descriptor)
      }
      for family in [AF_VSOCK, AF_PACKET, AF_ALG] {
        guard socket(family, Int32(SOCK_RAW.rawValue), 0) < 0, errno == EAFNOSUPPORT else { exit(3) }
      }
      let flags = MAP_PRIVATE | MAP_ANONYMOUS
      guard mmap(nil, 4_096, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0) == MAP_FAILED, errno == EPERM
      else {
        exit(4)
      }
      guard let page = mmap(nil, 4_096, PROT_READ | PROT_WRITE, flags, -1, 0), page != MAP_FAILED else {
        exit(5)
      }
      guard mprotect(page, 4_096, PROT_READ | PROT_EXEC) < 0, errno == EPERM else { exit(6) }
      guard mprotect(page, 4_096, PROT_READ) == 0 else { exit(7) }
      // Code of libraries that are loaded later is mapped from files.
      guard dlopen("libnss_files.so.2", RTLD_NOW) != nil || dlopen("libm.so.6", RTLD_NOW) != nil else {
        exit(8)
      }
      // Typing into the terminal.
      let ioctl = Int(nub_call_number(Int32(NUB_CALL_IOCTL)))
      guard nub_system_call(ioctl, 0, 0x5412, 0, 0, 0, 0) == -Int(EPERM) else { exit(9) }
      exit(0)
    }
  }

  @Test("calls of x32 end the process")
  func otherArchitecture() async {
    await #expect(processExitsWith: .signal(SIGSYS)) {
      try Privileges.allowNoNew()
      try Privileges.allowDumps(false)
      try SystemCallFilter.install()
      _ = nub_system_call(0x4000_0000 + 39, 0, 0, 0, 0, 0, 0)
    }
  }

  @Test("a filter needs the promise that comes before it, unless root installs it")
  func order() async {
    await #expect(processExitsWith: .success) {
      guard Privileges.isRoot else { exit(0) }
      try becomeNobody()
      do throws(ProcessError) {
        try SystemCallFilter.install()
      } catch {
        exit(error.number == EACCES ? 0 : 2)
      }
      exit(3)
    }
  }

  @Test(
    "with a thread that would stay root nothing goes on", .enabled(if: Privileges.isRoot, "needs root"))
  func mainThread() async {
    // This test's process waits in dispatch_main(). The real worker, which changes its user before that, is in Tests/EndToEnd.
    await #expect(processExitsWith: .success) {
      do throws(ProcessError) {
        try Privileges.drop(to: UserAccount(named: "nobody"))
      } catch {
        exit(error.message.contains("stays root") ? 0 : 2)
      }
      exit(3)
    }
  }

  @Test("who is nobody stays nobody", .enabled(if: Privileges.isRoot, "needs root"))
  func user() async {
    await #expect(processExitsWith: .success) {
      try becomeNobody()
      let account = try UserAccount(named: "nobody")
      guard setuid(0) < 0, seteuid(0) < 0, setgid(0) < 0, open("/etc/shadow", O_RDONLY) < 0 else { exit(4) }
      var groups = [gid_t](repeating: 0, count: 64)
      let count = getgroups(64, &groups)
      guard count >= 0, groups.prefix(Int(count)).allSatisfy({ account.groups.contains($0) }) else { exit(3) }
      // Again: nothing to do. Somebody else: no.
      try Privileges.drop(to: account)
      do throws(ProcessError) {
        try Privileges.drop(to: UserAccount(named: "daemon"))
      } catch {
        exit(error.code == .configuration ? 0 : 6)
      }
      exit(7)
    }
  }

  @Test("a user that does not exist, and root, are refused by name")
  func names() {
    #expect { try UserAccount(named: "no-such-user") } throws: {
      ($0 as? ProcessError)?.code == .unknownUser && "\($0)".contains("no-such-user")
    }
    #expect { try Privileges.drop(to: UserAccount(named: "root")) } throws: {
      ($0 as? ProcessError)?.code == .configuration
    }
  }

  @Test("no core file of a process that forbids dumps")
  func dumps() async {
    await #expect(processExitsWith: .success) {
      guard Privileges.isDumpable else { exit(2) }
      try Privileges.allowDumps(false)
      exit(Privileges.isDumpable ? 3 : 0)
    }
  }
}

@Suite("Permissions in words")
struct FilePermissionsTests {
  @Test("a file that others may read is named with what to do")
  func exposure() throws {
    let path = NSTemporaryDirectory() + "/nub-exposure-\(UUID().uuidString)"
    defer { unlink(path) }
    #expect(FilePermissions.exposure(of: path) == nil)
    close(open(path, O_CREAT | O_WRONLY, 0o600))
    #expect(FilePermissions.exposure(of: path) == nil)
    for mode in [0o640, 0o604, 0o660, 0o666] as [mode_t] {
      chmod(path, mode)
      let text = try #require(FilePermissions.exposure(of: path))
      #expect(text.contains(path) && text.contains("chmod 600"))
    }
  }

  @Test("the folder of a path")
  func folders() {
    #expect(FilePermissions.folder(of: "nub.db") == ".")
    #expect(FilePermissions.folder(of: "/nub.db") == "/")
    #expect(FilePermissions.folder(of: "/var/lib/nub/nub.db") == "/var/lib/nub")
  }

  @Test("a folder that belongs to others", .enabled(if: Privileges.isRoot, "needs root"))
  func folder() async {
    // The store's to say.
    #expect(throws: Never.self) { try FilePermissions.checkFolder(of: "/no/such/folder/nub.db") }
    await #expect(processExitsWith: .success) {
      try becomeNobody()
      do throws(ProcessError) {
        try FilePermissions.checkFolder(of: "/root/nub.db")
      } catch {
        exit(
          error.message.contains("belongs to root") && error.message.contains("chown nobody /root") ? 0 : 2)
      }
      exit(3)
    }
  }
}

/// Without the look at all threads, since the test runner's main thread is one that cannot be changed.
private func becomeNobody() throws {
  let account = try UserAccount(named: "nobody")
  let result = nub_drop_to(account.user, account.group, account.groups, account.groups.count)
  try #require(result == 0)
}
