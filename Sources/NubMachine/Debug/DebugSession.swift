import Glibc

/// One debugger's connection: packets in, answers and stops out.
final class DebugSession {
  private let connection: Int32
  private let target: DebugTarget
  /// A pipe that the target writes to when the guest has stopped.
  private let bell: (read: Int32, write: Int32)
  private var parser = GDBPacketParser()
  private var acknowledges = true
  private var isOpen = true
  /// The debugger waits for the guest to stop.
  private var awaitsStop = false
  /// The last stop that it has been told of; nil while the guest runs.
  private var stop: DebugTarget.Stop?

  private static let chunk = 4096

  /// Takes a connection, which the caller closes. Nil where another debugger is there.
  init?(_ connection: Int32, _ target: DebugTarget) {
    var ends: [Int32] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { return nil }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    guard target.connect(bell: ends[1]) else {
      for end in ends { close(end) }
      return nil
    }
    bell = (ends[0], ends[1])
    self.connection = connection
    self.target = target
  }

  deinit {
    // run() has taken the target's end back.
    close(bell.read)
    close(bell.write)
  }

  /// Until the debugger leaves, the connection breaks, or the sandbox is dropped.
  func run() {
    // Nothing is said before the guest has stopped; the debugger asks why it has.
    awaitsStop = false
    while isOpen {
      var events = [
        pollfd(fd: connection, events: Int16(POLLIN), revents: 0),
        pollfd(fd: bell.read, events: Int16(POLLIN), revents: 0),
      ]
      guard unsafe poll(&events, 2, -1) >= 0 || errno == EINTR else { break }
      if events[1].revents != 0 { guestStopped() }
      if events[0].revents != 0, !receive() { break }
    }
    target.disconnect()
  }

  private func receive() -> Bool {
    var bytes = [UInt8](repeating: 0, count: DebugSession.chunk)
    let count = unsafe read(connection, &bytes, bytes.count)
    if count < 0, errno == EINTR { return true }
    guard count > 0 else { return false }
    for byte in bytes.prefix(count) {
      switch parser.take(byte) {
      case nil: break
      case .interrupt: target.requestStop()
      case .damaged: send(raw: [UInt8(ascii: "-")])
      case .packet(let packet):
        if acknowledges { send(raw: [UInt8(ascii: "+")]) }
        answer(GDBCommand(packet))
      }
      guard isOpen else { return false }
    }
    return true
  }

  private func guestStopped() {
    var rings = [UInt8](repeating: 0, count: 64)
    _ = unsafe read(bell.read, &rings, rings.count)
    guard let news = target.takeNews() else { return }
    stop = news
    if awaitsStop {
      awaitsStop = false
      sendStop(news)
    }
  }

  private func sendStop(_ stop: DebugTarget.Stop) {
    switch stop {
    case .breakpoint: reply("T05swbreak:;thread:1;")
    case .step: reply("T05thread:1;")
    case .interrupt: reply("T02thread:1;")
    case .fault(let signal): reply("T\(hex(signal))thread:1;")
    case .gone:
      reply("W00")
      isOpen = false
    }
  }

  // MARK: Commands

  private func answer(_ command: GDBCommand) {
    switch command {
    case .stopReason:
      if let stop { sendStop(stop) } else { awaitsStop = true }
    case .readRegisters:
      guard stop != nil, let registers = try? target.readRegisters() else { return reply("E01") }
      reply(Hexadecimal.encode(GDBRegisters.encode(registers)))
    case .readRegister(let number): readRegister(number)
    case .writeRegisters(let bytes): writeRegisters(bytes)
    case .writeRegister(let number, let value):
      reply(ok: changed { GDBRegisters.set(number, value, in: &$0) })
    case .readMemory(let address, let count):
      let bytes = target.readMemory(address, min(count, UInt64(GDBPacketParser.maximum / 2 - 8)))
      reply(bytes.isEmpty && count > 0 ? Array("E0e".utf8) : Hexadecimal.encode(bytes))
    case .writeMemory(let address, let bytes): reply(ok: bytes.isEmpty || target.writeMemory(address, bytes))
    case .insertBreakpoint(let address): reply(ok: target.insertBreakpoint(address))
    case .removeBreakpoint(let address): reply(ok: target.removeBreakpoint(address))
    case .resume(let step): resume(step)
    case .detach:
      reply("OK")
      isOpen = false
    case .kill: kill(answered: false)
    case .killAnswered: kill(answered: true)
    case .supported:
      reply(
        "PacketSize=\(String(GDBPacketParser.maximum, radix: 16));qXfer:features:read+;QStartNoAckMode+;swbreak+;"
          + "vContSupported+")
    case .features(let annex, let offset, let count): features(annex, offset, count)
    case .continueActions: reply("vCont;c;C;s;S")
    case .noAcknowledgements:
      reply("OK")
      acknowledges = false
    case .threads: reply("m1")
    case .moreThreads: reply("l")
    case .currentThread: reply("QC1")
    case .isThreadAlive, .selectThread: reply("OK")
    case .attached: reply("1")
    case .unknown: reply("")
    case .malformed: reply("E16")
    }
  }

  private func readRegister(_ number: Int) {
    guard stop != nil, GDBRegisters.sizes.indices.contains(number),
      let registers = try? target.readRegisters()
    else {
      return reply("E01")
    }
    let start = GDBRegisters.sizes[..<number].reduce(0, +)
    reply(Hexadecimal.encode(GDBRegisters.encode(registers)[start..<(start + GDBRegisters.sizes[number])]))
  }

  private func writeRegisters(_ bytes: [UInt8]) {
    guard bytes.count == GDBRegisters.sizes.reduce(0, +) else { return reply("E16") }
    reply(
      ok: changed { registers in
        var start = 0
        for (number, size) in GDBRegisters.sizes.enumerated() {
          guard GDBRegisters.set(number, Array(bytes[start..<(start + size)]), in: &registers) else {
            return false
          }
          start += size
        }
        return true
      })
  }

  private func changed(_ body: (inout CoreRegisters) -> Bool) -> Bool { (try? target.change(body)) ?? false }

  private func resume(_ step: Bool) {
    switch stop {
    case nil: return reply("E01")
    case .fault(let signal)?:
      // The guest does not survive it; the owner of the sandbox gets the error.
      reply("X\(hex(signal))")
      isOpen = false
    case .gone?:
      reply("W00")
      isOpen = false
    case .breakpoint?, .step?, .interrupt?:
      stop = nil
      awaitsStop = true
      do throws(MachineError) { try target.resume(step: step) } catch { reply("E01") }
    }
  }

  private func kill(answered: Bool) {
    target.kill()
    if answered { reply("OK") }
    isOpen = false
  }

  private func features(_ annex: String, _ offset: UInt64, _ count: UInt64) {
    guard annex == "target.xml" else { return reply("E00") }
    let text = GDBRegisters.description
    guard offset < UInt64(text.count) else { return reply("l") }
    let part = text[Int(offset)...].prefix(Int(min(count, UInt64(GDBPacketParser.maximum / 2))))
    reply([UInt8(ascii: part.endIndex == text.endIndex ? "l" : "m")] + part)
  }

  private func hex(_ byte: UInt8) -> String { String(decoding: Hexadecimal.encode([byte]), as: UTF8.self) }

  // MARK: Sending

  private func reply(ok: Bool) { reply(ok ? "OK" : "E01") }
  private func reply(_ text: String) { reply(Array(text.utf8)) }
  private func reply(_ data: [UInt8]) { send(raw: GDBPacketParser.encode(data)) }

  private func send(raw bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = unsafe rest.withUnsafeBytes {
        unsafe Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if sent < 0, errno == EINTR { continue }
      guard sent > 0 else {
        isOpen = false
        return
      }
      rest = rest.dropFirst(sent)
    }
  }
}
