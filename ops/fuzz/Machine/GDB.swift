/// The debugger's packets: framing, commands, registers. What is framed is unframed again, in whatever state the parser was.
public func fuzzGDB(_ input: UnsafeRawBufferPointer) {
  var parser = GDBPacketParser()
  var registers = CoreRegisters()
  registers.extended = [UInt8](repeating: 0, count: 832)
  for byte in input {
    guard case .packet(let packet) = parser.take(byte) else { continue }
    require(packet.count <= GDBPacketParser.maximum, "a packet over the limit")
    use(GDBCommand(packet), &registers)
  }
  // The bytes as a packet's contents: also without a checksum that fits, which is rare.
  let packet = [UInt8](input.prefix(GDBPacketParser.maximum))
  use(GDBCommand(packet), &registers)
  var events: [GDBPacketParser.Event] = []
  for byte in GDBPacketParser.encode(packet) {
    if let event = parser.take(byte) { events.append(event) }
  }
  // What came before may have been half a packet, which takes the first bytes of this one.
  if events != [.packet(packet)] {
    events = GDBPacketParser.encode(packet).compactMap { parser.take($0) }
  }
  require(events == [.packet(packet)], "what was framed comes out as something else")
}

private func use(_ command: GDBCommand, _ registers: inout CoreRegisters) {
  switch command {
  case .writeRegister(let number, let value):
    let size = registers.extended.count
    _ = GDBRegisters.set(number, value, in: &registers)
    require(registers.extended.count == size, "a register changed the size of the state")
    let bytes = GDBRegisters.encode(registers)
    require(bytes.count == GDBRegisters.sizes.reduce(0, +), "registers of another size")
  case .writeRegisters(let bytes): require(bytes.count <= GDBPacketParser.maximum / 2, "too many registers")
  case .writeMemory(_, let bytes): require(bytes.count <= GDBPacketParser.maximum, "too much memory")
  default: break
  }
}
