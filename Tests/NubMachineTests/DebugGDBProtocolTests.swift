import Testing

@testable import NubMachine

@Suite struct GDBProtocolTests {
  private func parse(_ text: String) -> [GDBPacketParser.Event] {
    var parser = GDBPacketParser()
    return text.utf8.compactMap { parser.take($0) }
  }

  @Test func packetsComeOutAsTheyWentIn() {
    for data in [[], [1, 2, 3], Array("$#}*".utf8), (0...255).map { UInt8($0) }] {
      var parser = GDBPacketParser()
      let events = GDBPacketParser.encode(data).compactMap { parser.take($0) }
      #expect(events == [.packet(data)])
    }
  }

  @Test func framesAreFoundAndChecked() {
    #expect(parse("+$g#67") == [.packet(Array("g".utf8))])
    #expect(parse("$g#68") == [.damaged])
    #expect(parse("$g#zz") == [.damaged])
    #expect(parse("junk$m0,1$g#67") == [.packet(Array("g".utf8))])
    #expect(parse("\u{3}$g#67\u{3}") == [.interrupt, .packet(Array("g".utf8)), .interrupt])
    #expect(
      parse(
        "$X0,1:}\u{3}#\(String(decoding: Hexadecimal.encode([Array("X0,1:}\u{3}".utf8).reduce(0, &+)]), as: UTF8.self))"
      )
        == [.packet(Array("X0,1:#".utf8))])
    #expect(parse("$" + String(repeating: "a", count: GDBPacketParser.maximum + 1) + "#00") == [.damaged])
  }

  @Test(arguments: [
    ("?", GDBCommand.stopReason), ("g", .readRegisters), ("p10", .readRegister(16)),
    ("P10=00ff", .writeRegister(16, [0, 255])),
    ("m400000,20", .readMemory(address: 0x40_0000, count: 32)),
    ("M10,2:abcd", .writeMemory(address: 16, [0xab, 0xcd])),
    ("X10,2:ab", .writeMemory(address: 16, [97, 98])), ("Z0,400000,1", .insertBreakpoint(0x40_0000)),
    ("z0,400000,1", .removeBreakpoint(0x40_0000)), ("Z1,400000,1", .unknown), ("vCont?", .continueActions),
    ("vCont;s:1;c", .resume(step: true)), ("vCont;c", .resume(step: false)), ("c", .resume(step: false)),
    ("s", .resume(step: true)), ("D;1", .detach), ("k", .kill), ("vKill;1", .killAnswered),
    ("qSupported:x", .supported),
    ("qXfer:features:read:target.xml:0,ffb", .features(annex: "target.xml", offset: 0, count: 0xffb)),
    ("QStartNoAckMode", .noAcknowledgements), ("qC", .currentThread), ("qCRC:0,1", .unknown),
    ("vMustReplyEmpty", .unknown),
    ("", .unknown), ("m", .malformed), ("m1", .malformed), ("m1,2,3", .malformed),
    ("m10000000000000000,1", .malformed),
    ("M10,3:abcd", .malformed), ("M10,1:a", .malformed), ("Pzz=00", .malformed), ("Z0,1", .malformed),
    ("G0", .malformed),
    ("vCont;x", .malformed), ("pffffffffffffffff", .malformed),
    ("qXfer:features:read:target.xml", .malformed),
  ])
  func commandsAreUnderstood(text: String, command: GDBCommand) {
    #expect(GDBCommand(Array(text.utf8)) == command)
  }

  @Test func anyBytesAreTaken() {
    // Seeded, so that a failure comes back.
    var state: UInt64 = 42
    func random() -> UInt8 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 33)
    }
    var parser = GDBPacketParser()
    let alphabet = Array("$#}+:;,=mMXZzGgPpvqcs0123456789abcdef".utf8)
    for _ in 0..<200_000 {
      let byte = random() & 7 == 0 ? random() : alphabet[Int(random()) % alphabet.count]
      if case .packet(let packet)? = parser.take(byte) { _ = GDBCommand(packet) }
    }
    for _ in 0..<20_000 {
      _ = GDBCommand((0..<Int(random() & 31)).map { _ in alphabet[Int(random()) % alphabet.count] })
    }
  }

  @Test func registersHaveTheSizesOfTheDescription() {
    var registers = CoreRegisters()
    #expect(GDBRegisters.encode(registers).count == GDBRegisters.sizes.reduce(0, +))
    registers.extended = [UInt8](repeating: 0, count: 4096)
    #expect(GDBRegisters.encode(registers).count == GDBRegisters.sizes.reduce(0, +))
    for (number, size) in GDBRegisters.sizes.enumerated() {
      #expect(GDBRegisters.set(number, [UInt8](repeating: 0xff, count: size), in: &registers))
      #expect(!GDBRegisters.set(number, [UInt8](repeating: 0xff, count: size + 1), in: &registers))
    }
    #expect(!GDBRegisters.set(GDBRegisters.sizes.count, [0], in: &registers))
    // Neither the interrupt flag nor the I/O privilege level is the debugger's.
    #expect(registers.general.rflags == 0xcd5)
    #expect(registers.cs == 0)
  }
}
