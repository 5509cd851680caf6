internal import CNubProcess
internal import Glibc

/// A program for the kernel's classic BPF machine, as seccomp(2) runs it: on `struct seccomp_data`, at each system call.
///
/// Written as rules of at most a few instructions, each of which ends or falls through to the next, so no jump is long.
struct BPFProgram {
  /// What the program says about a call.
  enum Verdict: Equatable {
    case allow
    /// The call fails with this errno.
    case refuse(Int32)
    /// The process ends by SIGSYS.
    case kill

    var code: UInt32 {
      switch self {
      case .allow: 0x7fff_0000  // SECCOMP_RET_ALLOW
      case .refuse(let number): 0x0005_0000 | UInt32(number & 0xffff)  // SECCOMP_RET_ERRNO
      case .kill: 0x8000_0000  // SECCOMP_RET_KILL_PROCESS
      }
    }
  }

  // linux/bpf_common.h
  private static let loadWord: UInt16 = 0x20  // BPF_LD | BPF_W | BPF_ABS
  private static let equal: UInt16 = 0x15  // BPF_JMP | BPF_JEQ | BPF_K
  private static let atLeast: UInt16 = 0x35  // BPF_JMP | BPF_JGE | BPF_K
  private static let andWith: UInt16 = 0x54  // BPF_ALU | BPF_AND | BPF_K
  private static let answer: UInt16 = 0x06  // BPF_RET | BPF_K

  // struct seccomp_data: nr, arch, instruction_pointer, args. Little endian, so an argument's low word comes first.
  private static let numberOffset: UInt32 = 0
  private static let architectureOffset: UInt32 = 4
  private static func argument(_ index: UInt32) -> UInt32 { 16 + 8 * index }

  private(set) var instructions: [nub_bpf] = []

  /// Another architecture's calls have other numbers: they never get past this.
  init(architecture: UInt32, highestNumber: UInt32) {
    add(Self.loadWord, Self.architectureOffset)
    add(Self.equal, architecture, ifTrue: 1)
    add(Self.answer, Verdict.kill.code)
    add(Self.loadWord, Self.numberOffset)
    // x32's calls have x86_64's architecture and a bit of their own.
    add(Self.atLeast, highestNumber, ifFalse: 1)
    add(Self.answer, Verdict.kill.code)
  }

  mutating func on(_ number: UInt32, _ verdict: Verdict) {
    add(Self.equal, number, ifFalse: 1)
    add(Self.answer, verdict.code)
  }

  /// A verdict on calls whose argument (its low 32 bits) has `value` in the bits of `mask`.
  mutating func on(_ number: UInt32, argument: UInt32, mask: UInt32, equals value: UInt32, _ verdict: Verdict)
  {
    add(Self.equal, number, ifFalse: 5)
    add(Self.loadWord, Self.argument(argument))
    add(Self.andWith, mask)
    add(Self.equal, value, ifFalse: 1)
    add(Self.answer, verdict.code)
    // The next rule looks at the number again.
    add(Self.loadWord, Self.numberOffset)
  }

  /// A verdict on calls whose argument (its low 32 bits) is none of `values`.
  mutating func on(_ number: UInt32, argument: UInt32, noneOf values: [UInt32], _ verdict: Verdict) {
    let count = UInt8(clamping: values.count)
    add(Self.equal, number, ifFalse: count + 3)
    add(Self.loadWord, Self.argument(argument))
    for (index, value) in values.enumerated() { add(Self.equal, value, ifTrue: count - UInt8(index)) }
    add(Self.answer, verdict.code)
    add(Self.loadWord, Self.numberOffset)
  }

  mutating func end(_ verdict: Verdict) { add(Self.answer, verdict.code) }

  private mutating func add(_ code: UInt16, _ operand: UInt32, ifTrue: UInt8 = 0, ifFalse: UInt8 = 0) {
    instructions.append(nub_bpf(code: code, jump_true: ifTrue, jump_false: ifFalse, operand: operand))
  }
}
