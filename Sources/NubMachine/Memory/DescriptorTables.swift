import CNubABI

/// GDT, IDT, TSS and the exception stubs: all of ring 0 that a guest has.
///
/// The processor enters a stub through the IDT on the exception stack (IST1, so that a broken guest stack does not
/// matter). The stub tells the host with an `out` that changes no register, so the host sees the registers as they were;
/// which stub it was says the vector. If the host lets it go on, the stub returns to ring 3.
enum DescriptorTables {
  // Selectors, Intel SDM vol. 3, 3.4.2.
  static let kernelCode: UInt16 = 0x10
  static let userData: UInt16 = 0x28 | 3
  static let userCode: UInt16 = 0x30 | 3
  static let taskState: UInt16 = 0x40

  // Where the tables lie in the descriptor page.
  static let gdtOffset = 0
  static let gdtLimit: UInt16 = 0x50 - 1
  static let tssOffset = 0x100
  static let idtOffset = 0x200
  static let vectors = 32
  static let idtLimit = UInt16(vectors * 16 - 1)
  static let stubSize: UInt64 = 16

  /// The permission bitmap covers ports up to the doorbell's byte, and a byte of ones must follow it inside the limit
  /// (Intel SDM vol. 1, 19.5.2). Ports beyond the limit are denied.
  private static let bitmapBytes = Int(NUB_PORT_DOORBELL) / 8 + 1
  private static let bitmapOffset = 104
  static let tssLimit = UInt32(bitmapOffset + bitmapBytes + 1 - 1)

  /// Vectors that push an error code, Intel SDM vol. 3, table 6-1.
  static func pushesErrorCode(_ vector: Int) -> Bool {
    [8, 10, 11, 12, 13, 14, 17, 21, 29, 30].contains(vector)
  }

  /// Writes the tables into the template slot.
  static func write(into template: borrowing MappedMemory) {
    guard let page = unsafe template.bytes(at: AddressSpace.descriptorsOffset, count: 4096),
      let stubs = unsafe template.bytes(at: AddressSpace.stubsOffset, count: 4096)
    else { return }
    unsafe writeGDT(
      UnsafeMutableRawBufferPointer(rebasing: page[gdtOffset..<(gdtOffset + Int(gdtLimit) + 1)]))
    unsafe writeTSS(
      UnsafeMutableRawBufferPointer(rebasing: page[tssOffset..<(tssOffset + Int(tssLimit) + 1)]))
    for vector in 0..<vectors {
      unsafe writeGate(
        vector, to: UnsafeMutableRawBufferPointer(rebasing: page[(idtOffset + 16 * vector)...]))
      unsafe writeStub(
        vector, to: UnsafeMutableRawBufferPointer(rebasing: stubs[(Int(stubSize) * vector)...]))
    }
  }

  private static func writeGDT(_ gdt: UnsafeMutableRawBufferPointer) {
    // Present, accessed (the table is read-only, so the processor must not want to set it), 64-bit code or data.
    unsafe gdt.storeBytes(of: 0x00af_9b00_0000_ffff, toByteOffset: 0x10, as: UInt64.self)
    unsafe gdt.storeBytes(of: 0x00cf_9300_0000_ffff, toByteOffset: 0x18, as: UInt64.self)
    unsafe gdt.storeBytes(of: 0x00cf_f300_0000_ffff, toByteOffset: 0x28, as: UInt64.self)
    unsafe gdt.storeBytes(of: 0x00af_fb00_0000_ffff, toByteOffset: 0x30, as: UInt64.self)
    // A busy 64-bit TSS, two entries long (Intel SDM vol. 3, 7.2.3).
    let base = AddressSpace.descriptors + UInt64(tssOffset)
    let low =
      UInt64(tssLimit & 0xffff) | (base & 0xff_ffff) << 16 | 0x8b << 40 | UInt64(tssLimit >> 16 & 0xf) << 48
      | (base >> 24 & 0xff) << 56
    unsafe gdt.storeBytes(of: low, toByteOffset: Int(taskState), as: UInt64.self)
    unsafe gdt.storeBytes(of: base >> 32, toByteOffset: Int(taskState) + 8, as: UInt64.self)
  }

  private static func writeTSS(_ tss: UnsafeMutableRawBufferPointer) {
    // RSP0 and IST1, Intel SDM vol. 3, figure 7-11.
    unsafe tss.storeBytes(of: AddressSpace.exceptionStackTop, toByteOffset: 4, as: UInt64.self)
    unsafe tss.storeBytes(of: AddressSpace.exceptionStackTop, toByteOffset: 36, as: UInt64.self)
    unsafe tss.storeBytes(of: UInt16(bitmapOffset), toByteOffset: 102, as: UInt16.self)
    for index in bitmapOffset...Int(tssLimit) { unsafe tss[index] = 0xff }
    unsafe tss[bitmapOffset + Int(NUB_PORT_DOORBELL) / 8] &= ~(1 << UInt8(NUB_PORT_DOORBELL % 8))
  }

  private static func writeGate(_ vector: Int, to gate: UnsafeMutableRawBufferPointer) {
    let handler = AddressSpace.stubs + UInt64(vector) * stubSize
    // Software may raise the breakpoint alone; every gate switches to IST1.
    let privilege: UInt64 = vector == 3 ? 3 : 0
    let low =
      handler & 0xffff | UInt64(kernelCode) << 16 | 1 << 32 | (0x8e | privilege << 5) << 40
      | (handler >> 16 & 0xffff) << 48
    unsafe gate.storeBytes(of: low, toByteOffset: 0, as: UInt64.self)
    unsafe gate.storeBytes(of: handler >> 32, toByteOffset: 8, as: UInt64.self)
  }

  private static func writeStub(_ vector: Int, to stub: UnsafeMutableRawBufferPointer) {
    var code: [UInt8] = [0xe6, UInt8(NUB_PORT_EXCEPTION)]  // out %al, $port
    if pushesErrorCode(vector) { code += [0x48, 0x83, 0xc4, 0x08] }  // add $8, %rsp
    code += [0x48, 0xcf, 0xf4]  // iretq; hlt
    for (index, byte) in code.enumerated() { unsafe stub[index] = byte }
  }

  /// Which stub an instruction pointer lies in.
  static func vector(atStub instructionPointer: UInt64) -> Int? {
    guard instructionPointer >= AddressSpace.stubs else { return nil }
    let vector = (instructionPointer - AddressSpace.stubs) / stubSize
    return vector < UInt64(vectors) ? Int(vector) : nil
  }
}
