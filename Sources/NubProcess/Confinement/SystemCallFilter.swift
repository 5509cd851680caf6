internal import CNubProcess
internal import Glibc

/// What a process of nub never asks of the kernel, refused by the kernel from now on (seccomp(2)): should somebody take the
/// process over, that is what they cannot do with it.
///
/// Refused, not killed: a library that probes goes on, and tenants keep their worker. Only calls by another architecture's
/// numbers end the process.
public enum SystemCallFilter {
  /// From now on, for all threads, for good. Needs ``Privileges/allowNoNew()`` before it.
  public static func install() throws(ProcessError) {
    #if arch(x86_64)
      let program = program().instructions
      try ProcessError.check(
        nub_seccomp_install(program, UInt16(program.count)),
        "the kernel takes no seccomp filter (--no-seccomp does without)")
    #else
      throw ProcessError(.configuration, "there is no seccomp filter for this architecture: use --no-seccomp")
    #endif
  }

  // <linux/audit.h>: AUDIT_ARCH_X86_64; <asm/unistd.h>: __X32_SYSCALL_BIT.
  private static let architecture: UInt32 = 0xc000_003e
  private static let x32: UInt32 = 0x4000_0000

  static func program() -> BPFProgram {
    var program = BPFProgram(architecture: architecture, highestNumber: x32)
    for number in refusedCalls.map(\.number) { program.on(number, .refuse(EPERM)) }
    func number(_ call: Int) -> UInt32 { UInt32(bitPattern: nub_call_number(Int32(call))) }
    let clone = number(NUB_CALL_CLONE)
    // Threads, yes; processes and namespaces, no. clone3's flags lie in memory, where no filter sees them; glibc then uses clone.
    program.on(number(NUB_CALL_CLONE3), .refuse(ENOSYS))
    program.on(clone, argument: 0, mask: cloneThread, equals: 0, .refuse(EPERM))
    for flag in namespaces { program.on(clone, argument: 0, mask: flag, equals: flag, .refuse(EPERM)) }
    // Netlink is how the names of network interfaces are found.
    program.on(
      number(NUB_CALL_SOCKET), argument: 0,
      noneOf: [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].map { UInt32($0) }, .refuse(EAFNOSUPPORT))
    // No memory that was written is ever run: code comes from files.
    let writeAndRun = UInt32(PROT_WRITE | PROT_EXEC)
    program.on(
      number(NUB_CALL_MMAP), argument: 2, mask: writeAndRun, equals: writeAndRun, .refuse(EPERM))
    for call in [NUB_CALL_MPROTECT, NUB_CALL_PKEY_MPROTECT] {
      program.on(
        number(call), argument: 2, mask: UInt32(PROT_EXEC), equals: UInt32(PROT_EXEC),
        .refuse(EPERM))
    }
    program.on(
      number(NUB_CALL_SHMAT), argument: 2, mask: sharedExec, equals: sharedExec, .refuse(EPERM))
    // Typing into the terminal that the process was started from.
    for request in [0x5412, 0x541c] as [UInt32] {  // TIOCSTI, TIOCLINUX
      program.on(
        number(NUB_CALL_IOCTL), argument: 1, mask: .max, equals: request, .refuse(EPERM))
    }
    program.end(.allow)
    return program
  }

  // <linux/sched.h>
  private static let cloneThread: UInt32 = 0x0001_0000
  private static let namespaces: [UInt32] = [
    0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000,
  ]
  private static let sharedExec: UInt32 = 0o100000  // SHM_EXEC

  /// Calls that are refused whatever their arguments.
  static var refusedCalls: [(name: String, number: UInt32)] {
    (0..<nub_refused_call_count()).map { index in
      (String(cString: nub_refused_call_name(index)), UInt32(nub_refused_call_number(index)))
    }
  }

  /// -1 for a call that is not in the list.
  static func number(of name: String) -> Int {
    refusedCalls.first { $0.name == name }.map { Int($0.number) } ?? -1
  }
}
