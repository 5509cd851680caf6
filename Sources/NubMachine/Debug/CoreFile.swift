/// The registers of a guest at rest, as debuggers want them.
struct CoreRegisters: Sendable, Equatable {
  var general = GeneralRegisters()
  var cs: UInt16 = 0
  var ss: UInt16 = 0
  var ds: UInt16 = 0
  var es: UInt16 = 0
  var fs: UInt16 = 0
  var gs: UInt16 = 0
  var fsBase: UInt64 = 0
  var gsBase: UInt64 = 0
  /// An XSAVE area in the standard format, at least 832 bytes (Intel SDM vol. 1, 13.4).
  var extended: [UInt8] = []
}

/// The headers and notes of an ELF64 core file (System V ABI, chapter 5; Linux, include/uapi/linux/elfcore.h).
///
/// Pure: it says which bytes the file begins with and where each piece of memory goes.
struct CoreFile {
  /// A piece of memory that goes into the file.
  struct Piece: Equatable {
    var address: UInt64
    /// A multiple of the page size.
    var size: UInt64
    var isWritable: Bool
    var isExecutable: Bool
  }

  /// Why the core was written, in the terms that debuggers have.
  struct Reason: Equatable {
    /// A Linux signal number.
    var signal: Int32
    /// The address that a fault is about.
    var address: UInt64 = 0
    /// One line for a person.
    var text: String
  }

  static let pageSize: UInt64 = 4096
  /// Program headers are counted in 16 bits, and the last number means something else (PN_XNUM).
  static let maximumPieces = 0xffff - 2
  private static let headerSize: UInt64 = 64
  private static let programHeaderSize: UInt64 = 56

  /// Everything in front of the first piece of memory, padded to a page.
  let head: [UInt8]
  /// Where each piece begins in the file.
  let offsets: [UInt64]
  /// Bytes of the whole file.
  let size: UInt64

  /// - Parameter pieces: sorted by address, not overlapping, at most ``maximumPieces``.
  init(pieces: [Piece], registers: CoreRegisters, reason: Reason) {
    let notes = CoreFile.notes(registers, reason)
    let count = UInt64(pieces.count + 1)
    let notesOffset = CoreFile.headerSize + count * CoreFile.programHeaderSize
    let page = CoreFile.pageSize
    var next = (notesOffset + UInt64(notes.count) + page - 1) / page * page
    let start = next
    var bytes = CoreFile.header(programHeaders: UInt16(truncatingIfNeeded: count))
    bytes.programHeader(
      type: 4, flags: 4, offset: notesOffset, address: 0, size: UInt64(notes.count), align: 4)
    var offsets: [UInt64] = []
    for piece in pieces {
      offsets.append(next)
      bytes.programHeader(
        type: 1, flags: 4 | (piece.isWritable ? 2 : 0) | (piece.isExecutable ? 1 : 0), offset: next,
        address: piece.address, size: piece.size, align: page)
      next += piece.size
    }
    bytes.append(notes)
    bytes.zeros(Int(start) - bytes.bytes.count)
    head = bytes.bytes
    self.offsets = offsets
    size = next
  }

  private static func header(programHeaders: UInt16) -> LittleEndianBytes {
    var bytes = LittleEndianBytes()
    bytes.append([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8))
    bytes.append(UInt16(4))  // ET_CORE
    bytes.append(UInt16(62))  // EM_X86_64
    bytes.append(UInt32(1))
    bytes.append(UInt64(0))  // no entry
    bytes.append(headerSize)
    bytes.append(UInt64(0))  // no sections
    bytes.append(UInt32(0))
    bytes.append(UInt16(headerSize))
    bytes.append(UInt16(programHeaderSize))
    bytes.append(programHeaders)
    bytes.append(UInt16(64))
    bytes.append(UInt16(0))
    bytes.append(UInt16(0))
    return bytes
  }

  // MARK: Notes

  /// A core has threads; a guest is one, and this is its number.
  private static let thread: Int32 = 1

  private static func notes(_ registers: CoreRegisters, _ reason: Reason) -> [UInt8] {
    var notes = LittleEndianBytes()
    notes.note("CORE", 1, status(registers, reason))  // NT_PRSTATUS
    // No NT_PRPSINFO: gdb would compare its name with that of the image's file, and warn.
    notes.note("CORE", 0x5349_4749, signal(reason))  // NT_SIGINFO
    if registers.extended.count >= 832 {
      notes.note("CORE", 2, Array(registers.extended[..<512]))  // NT_FPREGSET: the legacy area is FXSAVE's
      var state = Array(registers.extended[..<832])
      // Debuggers look for XCR0 in the bytes that the format leaves to software: x87, SSE, AVX.
      for index in 464..<472 { state[index] = index == 464 ? 7 : 0 }
      notes.note("LINUX", 0x202, state)  // NT_X86_XSTATE
    }
    notes.note("nub", 1, Array(reason.text.utf8) + [0])
    return notes.bytes
  }

  /// `struct elf_prstatus`, 336 bytes.
  private static func status(_ registers: CoreRegisters, _ reason: Reason) -> [UInt8] {
    let general = registers.general
    var status = LittleEndianBytes()
    status.append(UInt32(bitPattern: reason.signal))
    status.zeros(8)
    status.append(UInt16(truncatingIfNeeded: reason.signal))
    status.zeros(32 - 14)
    for _ in 0..<4 { status.append(UInt32(bitPattern: thread)) }
    status.zeros(112 - 48)
    // struct user_regs_struct
    for value in [
      general.r15, general.r14, general.r13, general.r12, general.rbp, general.rbx, general.r11, general.r10,
      general.r9, general.r8, general.rax, general.rcx, general.rdx, general.rsi, general.rdi,
      UInt64.max,  // orig_rax: in no system call
      general.rip, UInt64(registers.cs), general.rflags, general.rsp, UInt64(registers.ss), registers.fsBase,
      registers.gsBase, UInt64(registers.ds), UInt64(registers.es), UInt64(registers.fs),
      UInt64(registers.gs),
    ] { status.append(value) }
    status.append(UInt32(registers.extended.isEmpty ? 0 : 1))
    status.zeros(4)
    return status.bytes
  }

  /// `siginfo_t`, 128 bytes.
  private static func signal(_ reason: Reason) -> [UInt8] {
    var signal = LittleEndianBytes()
    signal.append(UInt32(bitPattern: reason.signal))
    signal.append(UInt32(0))
    signal.append(UInt32(1))
    signal.append(UInt32(0))
    signal.append(reason.address)
    signal.zeros(128 - 24)
    return signal.bytes
  }
}

/// Bytes of a file, written one little-endian field after the other.
struct LittleEndianBytes {
  private(set) var bytes: [UInt8] = []

  mutating func append(_ more: [UInt8]) { bytes += more }

  mutating func append<Number: FixedWidthInteger>(_ number: Number) {
    for shift in stride(from: 0, to: Number.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: number >> Number(shift)))
    }
  }

  mutating func zeros(_ count: Int) { bytes += [UInt8](repeating: 0, count: max(count, 0)) }

  mutating func programHeader(
    type: UInt32, flags: UInt32, offset: UInt64, address: UInt64, size: UInt64, align: UInt64
  ) {
    append(type)
    append(flags)
    append(offset)
    append(address)
    append(address)
    append(size)
    append(size)
    append(align)
  }

  mutating func note(_ owner: String, _ type: UInt32, _ contents: [UInt8]) {
    let name = Array(owner.utf8) + [0]
    append(UInt32(name.count))
    append(UInt32(contents.count))
    append(type)
    append(name)
    zeros(-name.count & 3)
    append(contents)
    zeros(-contents.count & 3)
  }
}
