import NubABI
import Testing

@testable import NubMachine

@Suite struct BacktraceTests {
  @Test func aFaultNamesTheFunctionsThatWereRunning() throws {
    var sandbox = try Support.sandbox()
    for kind in [FaultKind.nullRead, .invalidOpcode, .divideByZero, .stackOverflow, .executeData] {
      let error = #expect(throws: MachineError.self) { try sandbox.call(FunctionID.fault, [kind.rawValue]) }
      guard case .fault(let fault)? = error?.code else {
        Issue.record("\(String(describing: error))")
        return
      }
      let names = fault.backtrace.map { $0.function ?? "?" }
      #expect(fault.backtrace.first?.address == fault.instructionPointer)
      #expect(names.contains { $0.contains("fault") }, "\(kind): \(names)")
      #expect(names.last == "nub_entry", "\(kind): \(names)")
      #expect(error?.message.contains("; in ") == true)
      try sandbox.restore()
    }
  }

  // Code is 0x1000..<0x2000, the stack 0x8000..<0x9000.
  private func walk(_ stack: [UInt64: UInt64], rip: UInt64 = 0x1000, rsp: UInt64 = 0x8000, rbp: UInt64)
    throws -> [UInt64]
  {
    var registers = GeneralRegisters()
    registers.rip = rip
    registers.rsp = rsp
    registers.rbp = rbp
    let walk = StackWalk(
      symbols: SymbolTable(try GuestImage.builtIn().elf), isCode: { (0x1000..<0x2000).contains($0) },
      read: { (0x8000..<0x8ff9).contains($0) ? stack[$0] ?? 0 : nil })
    return walk.addresses(registers)
  }

  @Test func framesAreFollowedUpwardsAlone() throws {
    #expect(
      try walk([0x8010: 0x8020, 0x8018: 0x1100, 0x8020: 0, 0x8028: 0x1200], rbp: 0x8010) == [
        0x1000, 0x1100, 0x1200,
      ])
    // A frame that leads to itself, or back down.
    #expect(try walk([0x8010: 0x8010, 0x8018: 0x1100], rbp: 0x8010) == [0x1000, 0x1100])
    #expect(
      try walk([0x8010: 0x8000, 0x8018: 0x1100, 0x8000: 0x8010, 0x8008: 0x1100], rbp: 0x8010) == [
        0x1000, 0x1100,
      ])
  }

  @Test func whatIsNoFrameEndsTheWalk() throws {
    for pointer in [0, 1, 0x8001, 0x7ff8, 0x8ff8, 0x9000, 0xffff_ffff_ffff_fff8, UInt64.max] as [UInt64] {
      #expect(try walk([:], rbp: pointer) == [0x1000])
    }
    #expect(try walk([0x8010: 0x8020, 0x8018: 0x5000], rbp: 0x8010) == [0x1000])
  }

  @Test func anEndlessChainIsCut() throws {
    var stack: [UInt64: UInt64] = [:]
    for frame in stride(from: UInt64(0x8000), to: 0x8ff0, by: 16) {
      stack[frame] = frame + 16
      stack[frame + 8] = 0x1100
    }
    #expect(try walk(stack, rbp: 0x8000).count == StackWalk.limit)
  }

  @Test func aJumpToNoCodeIsBlamedOnItsCaller() throws {
    #expect(try walk([0x8000: 0x1500], rip: 0, rsp: 0x8000, rbp: 0) == [0, 0x1500])
  }

  @Test(arguments: [
    ("nub_fn_300_word_frequency", "word_frequency"), ("nub_fn_300_", "nub_fn_300_"), ("nub_fn_", "nub_fn_"),
    ("$e6NubCap13MerkleScratchV4root7ofBytes5count5depthAA0B4HashVSV_S2itF", "NubCap.MerkleScratch.root"),
    ("$e6NubCap0B4ViewV10validatingACs7RawSpanV_tAA0B5ErrorVYKcfC", "NubCap.CapView.validating"),
    ("$es7RawSpanV6NubCapE7element_2ofAC9WireRangeVSi_AGtF", "Swift.RawSpan.NubCap.element"),
    ("$e6NubCap10WireHasherV8instanceyyF", "NubCap.WireHasher.instance"),
    ("$e", "$e"), ("$e9", "$e9"), ("$e99999999999999999999a", "$e99999999999999999999a"), ("$e0Z", "$e0Z"),
    ("", ""),
    ("memcpy", "memcpy"), ("$e3ab", "$e3ab"),
  ])
  func namesBecomeReadable(symbol: String, name: String) {
    #expect(SymbolName.readable(symbol) == name)
  }
}
