/// A processor exception in the guest, as the processor pushed it on the exception stack (Intel SDM vol. 3, 6.14).
public struct ProcessorException: Sendable, Equatable, CustomStringConvertible {
  /// 0 to 31, Intel SDM vol. 3, table 6-1.
  public var vector: UInt8
  /// 0 for vectors that push none.
  public var errorCode: UInt64
  /// The instruction at fault; for traps the one behind it.
  public var instructionPointer: UInt64
  /// RSP and RFLAGS as they were then.
  public var stackPointer: UInt64
  public var flags: UInt64
  /// For page faults the address that was accessed (CR2).
  public var address: UInt64
  /// All of them, as they were when it happened.
  public var registers: GeneralRegisters
  /// A page fault below the end of the stack: it was used up.
  public var isStackOverflow = false
  /// The functions that were running, the innermost first; at most 64.
  public var backtrace: [StackFrame] = []

  /// The vector's mnemonic, such as `#PF`.
  public var name: String {
    switch vector {
    case 0: "#DE divide error"
    case 1: "#DB debug"
    case 3: "#BP breakpoint"
    case 4: "#OF overflow"
    case 5: "#BR bound range"
    case 6: "#UD invalid opcode"
    case 7: "#NM device not available"
    case 8: "#DF double fault"
    case 10: "#TS invalid TSS"
    case 11: "#NP segment not present"
    case 12: "#SS stack fault"
    case 13: "#GP general protection"
    case 14: "#PF page fault"
    case 16: "#MF x87 floating point"
    case 17: "#AC alignment check"
    case 18: "#MC machine check"
    case 19: "#XM SIMD floating point"
    case 21: "#CP control protection"
    default: "exception \(vector)"
    }
  }

  /// One line: what, where, and the functions that were running.
  public var description: String {
    let place = "\(name) at rip \(hexadecimal(instructionPointer)), error code \(hexadecimal(errorCode))"
    var fault = vector == 14 ? "\(place), address \(hexadecimal(address))" : place
    if isStackOverflow { fault += ", below the end of the stack: it overflowed" }
    guard !backtrace.isEmpty else { return fault }
    return fault + "; in " + backtrace.prefix(8).map(\.description).joined(separator: " < ")
  }
}

/// The general-purpose registers.
public struct GeneralRegisters: Sendable, Equatable {
  public var rax: UInt64 = 0
  public var rbx: UInt64 = 0
  public var rcx: UInt64 = 0
  public var rdx: UInt64 = 0
  public var rsi: UInt64 = 0
  public var rdi: UInt64 = 0
  public var rbp: UInt64 = 0
  public var rsp: UInt64 = 0
  public var r8: UInt64 = 0
  public var r9: UInt64 = 0
  public var r10: UInt64 = 0
  public var r11: UInt64 = 0
  public var r12: UInt64 = 0
  public var r13: UInt64 = 0
  public var r14: UInt64 = 0
  public var r15: UInt64 = 0
  public var rip: UInt64 = 0
  public var rflags: UInt64 = 0

  public init() {}
}

func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
