/// The registers as the target description below lists them, in the order that it gives them.
enum GDBRegisters {
  /// Byte sizes by number: 16 general, rip, eflags, 6 selectors, 8 x87, 8 x87 control, 16 XMM, MXCSR.
  static let sizes: [Int] =
    [Int](repeating: 8, count: 17) + [Int](repeating: 4, count: 7) + [Int](repeating: 10, count: 8)
    + [Int](repeating: 4, count: 8) + [Int](repeating: 16, count: 16) + [4]

  static func encode(_ registers: CoreRegisters) -> [UInt8] {
    let general = registers.general
    var bytes = LittleEndianBytes()
    for value in [
      general.rax, general.rbx, general.rcx, general.rdx, general.rsi, general.rdi, general.rbp, general.rsp,
      general.r8,
      general.r9, general.r10, general.r11, general.r12, general.r13, general.r14, general.r15, general.rip,
    ] { bytes.append(value) }
    bytes.append(UInt32(truncatingIfNeeded: general.rflags))
    for selector in [registers.cs, registers.ss, registers.ds, registers.es, registers.fs, registers.gs] {
      bytes.append(UInt32(selector))
    }
    // The legacy area of XSAVE, Intel SDM vol. 1, table 10-2.
    let area =
      registers.extended.count >= 512 ? registers.extended : [UInt8](repeating: 0, count: 512)
    func field(_ offset: Int, _ count: Int) -> UInt32 {
      area[offset..<(offset + count)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    for index in 0..<8 { bytes.append(Array(area[(32 + 16 * index)..<(42 + 16 * index)])) }
    bytes.append(field(0, 2))  // fctrl
    bytes.append(field(2, 2))  // fstat
    bytes.append(fullTags(UInt8(field(4, 1)), top: Int(field(2, 2) >> 11 & 7)))  // ftag
    bytes.append(field(12, 2))  // fiseg
    bytes.append(field(8, 4))  // fioff
    bytes.append(field(20, 2))  // foseg
    bytes.append(field(16, 4))  // fooff
    bytes.append(field(6, 2))  // fop
    bytes.append(Array(area[160..<416]))
    bytes.append(field(24, 4))
    return bytes.bytes
  }

  /// XSAVE keeps a bit for each register, "not empty"; debuggers want two: 0 for valid, 3 for empty.
  private static func fullTags(_ abridged: UInt8, top: Int) -> UInt32 {
    (0..<8).reduce(0) { $0 | (abridged >> UInt8($1) & 1 == 0 ? 3 << UInt32(2 * $1) : 0) }
  }

  /// Changes register `number`. False where there is none that can be changed, or the size is another.
  ///
  /// Selectors stay as they are, and so do the flags that privileged code owns: a debugger works at the guest's level.
  static func set(_ number: Int, _ value: [UInt8], in registers: inout CoreRegisters) -> Bool {
    guard sizes.indices.contains(number), value.count == sizes[number] else { return false }
    let word = value.prefix(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    switch number {
    case 0: registers.general.rax = word
    case 1: registers.general.rbx = word
    case 2: registers.general.rcx = word
    case 3: registers.general.rdx = word
    case 4: registers.general.rsi = word
    case 5: registers.general.rdi = word
    case 6: registers.general.rbp = word
    case 7: registers.general.rsp = word
    case 8: registers.general.r8 = word
    case 9: registers.general.r9 = word
    case 10: registers.general.r10 = word
    case 11: registers.general.r11 = word
    case 12: registers.general.r12 = word
    case 13: registers.general.r13 = word
    case 14: registers.general.r14 = word
    case 15: registers.general.r15 = word
    case 16: registers.general.rip = word
    case 17: registers.general.rflags = registers.general.rflags & ~userFlags | word & userFlags
    case 18...23: return true
    case 24...31:
      guard registers.extended.count >= 512 else { return false }
      registers.extended.replaceSubrange((32 + 16 * (number - 24))..<(42 + 16 * (number - 24)), with: value)
    case 32...39: return true
    case 40...55:
      guard registers.extended.count >= 520 else { return false }
      registers.extended.replaceSubrange((160 + 16 * (number - 40))..<(176 + 16 * (number - 40)), with: value)
      // XSTATE_BV: without this bit the values count as initial ones.
      registers.extended[512] |= 2
    default:
      guard registers.extended.count >= 520 else { return false }
      // Reserved bits of MXCSR would make KVM refuse the state.
      registers.extended.replaceSubrange(24..<28, with: [value[0], value[1], 0, 0])
      registers.extended[512] |= 2
    }
    return true
  }

  /// CF PF AF ZF SF DF OF, Intel SDM vol. 1, 3.4.3.
  private static let userFlags: UInt64 = 0xcd5

  /// GDB manual, appendix G: features org.gnu.gdb.i386.core and .sse.
  static let description: [UInt8] = Array(text.utf8)

  private static let text: String = {
    var lines = [
      #"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">"#,
      "<target><architecture>i386:x86-64</architecture>",
      #"<feature name="org.gnu.gdb.i386.core">"#, #"<flags id="i386_eflags" size="4">"#,
    ]
    for (name, bit) in [
      ("CF", 0), ("PF", 2), ("AF", 4), ("ZF", 6), ("SF", 7), ("TF", 8), ("IF", 9), ("DF", 10), ("OF", 11),
    ] { lines.append("<field name=\"\(name)\" start=\"\(bit)\" end=\"\(bit)\"/>") }
    lines.append("</flags>")
    func register(_ name: String, _ bits: Int, _ type: String) {
      lines.append("<reg name=\"\(name)\" bitsize=\"\(bits)\" type=\"\(type)\"/>")
    }
    for name in ["rax", "rbx", "rcx", "rdx", "rsi", "rdi"] { register(name, 64, "int64") }
    for name in ["rbp", "rsp"] { register(name, 64, "data_ptr") }
    for number in 8...15 { register("r\(number)", 64, "int64") }
    register("rip", 64, "code_ptr")
    register("eflags", 32, "i386_eflags")
    for name in ["cs", "ss", "ds", "es", "fs", "gs"] { register(name, 32, "int32") }
    for number in 0..<8 { register("st\(number)", 80, "i387_ext") }
    for name in ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"] {
      register(name, 32, "int")
    }
    lines += [
      "</feature>", #"<feature name="org.gnu.gdb.i386.sse">"#,
      #"<vector id="v4f" type="ieee_single" count="4"/>"#,
      #"<vector id="v2d" type="ieee_double" count="2"/>"#, #"<vector id="v16i8" type="int8" count="16"/>"#,
      #"<vector id="v8i16" type="int16" count="8"/>"#, #"<vector id="v4i32" type="int32" count="4"/>"#,
      #"<vector id="v2i64" type="int64" count="2"/>"#, #"<union id="vec128">"#,
    ]
    for (name, type) in [
      ("v4_float", "v4f"), ("v2_double", "v2d"), ("v16_int8", "v16i8"), ("v8_int16", "v8i16"),
      ("v4_int32", "v4i32"),
      ("v2_int64", "v2i64"), ("uint128", "uint128"),
    ] { lines.append("<field name=\"\(name)\" type=\"\(type)\"/>") }
    lines.append("</union>")
    for number in 0..<16 { register("xmm\(number)", 128, "vec128") }
    register("mxcsr", 32, "int")
    lines.append("</feature></target>")
    return lines.joined(separator: "\n")
  }()
}
